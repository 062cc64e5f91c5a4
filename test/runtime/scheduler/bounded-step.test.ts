/** Steps that stay short while answers are being read (maxStepMs), over a toy engine that says how long its steps took. */
import t from 'tap'
import { seeded } from '../../support/pace.ts'
import { ToyCore, type ToySettings } from '../../support/toy-core.ts'
import { type ToyStep, toyTokens } from '../../support/toy-engine.ts'

const counting = (length: number, from = 0) => Array.from({ length }, (_, i) => (from + i) % 90)

interface Seen {
  /** Tokens of prompts, and of those that decode. */
  prompt: number
  decoding: number
  ms: number
}

/** Half a millisecond a token, 10 a step, and attention. */
function timed(settings: Partial<ToySettings>, noise = () => 1) {
  const toy = new ToyCore({ blockCount: 4000, maxBatchTokens: 256, maxModelLen: 4000, ...settings })
  const steps: Seen[] = []
  toy.native.stepMs = ({ sequences }: ToyStep) => {
    const seen = { prompt: 0, decoding: 0, ms: 10 }
    for (const { past, tokens, rows } of sequences) {
      const decodes = tokens.length === 1 && rows.length === 1 && past > 0
      seen[decodes ? 'decoding' : 'prompt'] += tokens.length
      seen.ms += tokens.length * (0.5 + 0.0002 * past)
    }
    seen.ms *= noise()
    steps.push(seen)
    return seen.ms
  }
  return { toy, steps }
}

/** Four that decode, and some steps of it. */
async function decoding(toy: ToyCore): Promise<void> {
  for (let i = 0; i < 4; i++) toy.submit(`decodes ${i}`, [i, 1, 2], [], { maxTokens: 400 })
  for (let i = 0; i < 20; i++) await toy.step()
}

const LONG = counting(3000)

t.test('beside those that decode a prompt takes what is left of the time, over contexts of any length', async (t) => {
  const { toy, steps } = timed({ maxStepMs: 60 })
  await decoding(toy)
  steps.length = 0
  toy.submit('long', LONG, [], { maxTokens: 2 })
  while (toy.tokens('long').length === 0) await toy.step()
  t.ok(steps.every(({ decoding }) => decoding >= 4, 'nobody who decodes waits'))
  t.ok(steps[0].prompt <= 32, 'little is known at first')
  t.ok(steps[1].prompt > steps[0].prompt, 'it grows')
  const settled = steps.slice(5, -1)
  t.ok(Math.max(...settled.map(({ ms }) => ms)) <= 60 * 1.15, `the longest took ${Math.max(...settled.map(({ ms }) => ms))}`)
  t.ok(Math.min(...settled.map(({ ms }) => ms)) >= 60 * 0.6, `the shortest took ${Math.min(...settled.map(({ ms }) => ms))}`)
  t.ok(settled[0].prompt > 1.3 * settled[settled.length - 1].prompt, 'chunks become shorter as contexts become longer')
  await toy.drain()
  t.same(toy.tokens('long'), toyTokens(LONG, [], 2))
  t.same(toy.tokens('decodes 3'), toyTokens([3, 1, 2], [], 400))
})

t.test('alone, or without a bound, a prompt takes whole steps', async (t) => {
  for (const maxStepMs of [60, 0]) {
    const { toy, steps } = timed({ maxStepMs })
    if (maxStepMs === 0) await decoding(toy)
    steps.length = 0
    toy.submit('long', LONG, [], { maxTokens: 2 })
    for (let i = 0; i < 5; i++) await toy.step()
    t.ok(steps.every(({ prompt, decoding }) => prompt + decoding === 256))
  }
})

t.test('where even decoding takes longer than the bound, prompts go on all the same', async (t) => {
  const { toy, steps } = timed({ maxStepMs: 1 })
  await decoding(toy)
  steps.length = 0
  for (const id of ['one', 'other']) toy.submit(id, counting(800, id.length), [], { maxTokens: 2 })
  for (let i = 0; i < 60; i++) await toy.step()
  t.ok(steps.every(({ prompt, decoding }) => decoding === 0 || (prompt >= 14 && prompt <= 36)))
  await toy.drain()
  for (const id of ['one', 'other']) t.same(toy.tokens(id), toyTokens(counting(800, id.length), [], 2))
})

t.test('a short prompt is not kept waiting by a long one that is bounded', async (t) => {
  const { toy, steps } = timed({ maxStepMs: 40 })
  await decoding(toy)
  toy.submit('long', LONG, [], { maxTokens: 2 })
  for (let i = 0; i < 5; i++) await toy.step()
  steps.length = 0
  toy.submit('short', [1, 2, 3], [], { maxTokens: 2 })
  await toy.step()
  await toy.step()
  t.ok(toy.tokens('short').length >= 1)
})

t.test('a long prefix out of the cache makes no long step', async (t) => {
  const { toy, steps } = timed({ maxStepMs: 60 })
  toy.submit('before', LONG, [], { maxTokens: 1 })
  await toy.drain()
  await decoding(toy)
  steps.length = 0
  toy.submit('again', [...LONG, ...counting(300, 5)], [], { maxTokens: 2 })
  while (toy.tokens('again').length === 0) await toy.step()
  t.equal(toy.outputs.get('again')?.[0].cachedTokens, LONG.length)
  t.ok(
    steps.every(({ ms }) => ms <= 60 * 1.15),
    `${steps.map(({ ms }) => ms)}`,
  )
})

for (const overlap of [false, true])
  t.test(`a storm in steps that are bounded${overlap ? ', planned ahead' : ''}: every token is right`, async (t) => {
    const random = seeded(overlap ? 8 : 9)
    const { toy } = timed({ maxStepMs: 40, blockCount: 300, maxSequences: 12, overlap }, () => 0.5 + 3 * random.next() ** 4)
    const asked = Array.from({ length: 60 }, (_, i) => ({
      prompt: counting(1 + random.below(random.below(4) ? 20 : 500), i),
      count: 1 + random.below(20),
    }))
    for (const [i, { prompt, count }] of asked.entries()) {
      toy.submit(`${i}`, prompt, [], { maxTokens: count })
      for (let k = random.below(4); k > 0; k--) await toy.step()
    }
    await toy.drain()
    for (const [i, { prompt, count }] of asked.entries()) t.same(toy.tokens(`${i}`), toyTokens(prompt, [], count))
  })
