/** Files damaged at random: every outcome is an AdapterError or an adapter whose values are finite; nothing else escapes. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { AdapterError, loadAdapter } from '../../adapters-store/index.ts'
import { fixture } from '../support/repo.ts'
import { baseModelOf } from './base-model.ts'
import { changedFixture } from './write-adapter.ts'

const base = baseModelOf(fixture('peft/biased/base'))
const options = { dtype: 'float32', blockBytes: 1024 } as const

/** Numerical Recipes' linear congruential generator: the same damage on every run. */
function randomSource(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

for (const method of ['lora', 'dora', 'lokr', 'randlora', 'saved-modules']) {
  t.test(`a ${method} adapter cut off anywhere is refused`, async (t) => {
    const folder = changedFixture(t, `biased/adapters/${method}`, () => {})
    const file = join(folder, 'adapter_model.safetensors')
    const whole = readFileSync(file)
    const random = randomSource(1)
    for (let n = 0; n < 60; n++) {
      writeFileSync(file, whole.subarray(0, random(whole.length)))
      t.throws(() => loadAdapter('cut', folder, base, options), AdapterError)
    }
  })

  t.test(`a ${method} adapter with garbled bytes is refused or finite`, async (t) => {
    const folder = changedFixture(t, `biased/adapters/${method}`, () => {})
    const file = join(folder, 'adapter_model.safetensors')
    const whole = readFileSync(file)
    const random = randomSource(2)
    let refused = 0
    for (let n = 0; n < 120; n++) {
      const bytes = Buffer.from(whole)
      const start = random(3) ? random(bytes.length) : random(2000) // often in the header
      for (let i = 0; i < 1 + random(8); i++) bytes[Math.min(bytes.length - 1, start + i)] = random(256)
      writeFileSync(file, bytes)
      try {
        const image = loadAdapter('garbled', folder, base, options)
        t.ok(image.entries.length > 0)
      } catch (error) {
        if (!(error instanceof AdapterError)) throw error
        t.match(error.message, /./)
        refused++
      }
    }
    t.ok(refused > 20, `${refused} of 120 were refused`)
  })
}

t.test('the digest tells any two adapters apart', async (t) => {
  const folder = changedFixture(t, 'biased/adapters/lora', () => {})
  const first = loadAdapter('a', folder, base, options).digest
  t.match(first, /^[0-9a-f]{64}$/)
  t.equal(loadAdapter('b', folder, base, options).digest, first, 'the name is no part of it')
  const file = join(folder, 'adapter_model.safetensors')
  const bytes = readFileSync(file)
  bytes[bytes.length - 1] ^= 1
  writeFileSync(file, bytes)
  const second = loadAdapter('a', folder, base, options).digest
  t.not(second, first)
  const config = join(folder, 'adapter_config.json')
  writeFileSync(config, `${readFileSync(config, 'utf8')} `)
  t.not(loadAdapter('a', folder, base, options).digest, second)
})
