/**
 * Checkpoints whose weights are quantized already (test/fixtures/stored/make.py), alone and with adapters, against transformers + PEFT in float32 with the values that
 * their integers mean. Two bounds: what goes into a product of integers is rounded to int8 with a scale for each 32 inputs, so that logits may be a little away from
 * the exact ones; from a reference that rounds likewise they are only as far as sums in another order are, which now and then round
 * one number the other way.
 */
import { readdirSync } from 'node:fs'
import t, { type Test } from 'tap'
import type { EngineSettings } from '../../runtime/types.ts'
import { failures, type OracleFamily } from '../support/oracle.ts'
import { storedCheckpoints, storedFamily } from '../support/stored.ts'

/** Whose products read the checkpoint's integers; the other's groups are no product's, so that it becomes floats. */
const AS_THEY_ARE = ['awq', 'gptq4', 'gptq4-ordered', 'gptq8', 'packed4', 'int8']
const AS_FLOATS = ['packed4-16']

/** From exact logits, in parts of their spread: about twice what was measured. */
const OF_ROUNDING = 0.02

async function verdictsOf(family: OracleFamily, settings: Partial<EngineSettings> = {}) {
  const engine = await family.start(family.ampleBlocks, settings)
  try {
    return await family.runAll(engine)
  } finally {
    await engine.close()
  }
}

const spreadOf = (logits: number[]) => Math.max(...logits) - Math.min(...logits)

/** Logits after the prompt, as parts of their spread from the exact ones. */
async function losses(t: Test, name: string, settings: Partial<EngineSettings>): Promise<number[]> {
  const family = storedFamily(t, name, false)
  const verdicts = await verdictsOf(family, settings)
  return family.cases.map(({ row }, i) => verdicts[i].logitsError / spreadOf(row.logits))
}

t.strictSame([...AS_THEY_ARE, ...AS_FLOATS].sort(), storedCheckpoints.sort())

for (const name of AS_THEY_ARE)
  t.test(`${name}: its integers, with and without adapters`, async (t) => {
    t.strictSame(failures(await verdictsOf(storedFamily(t, name, true))), [], 'as the reference that rounds what goes in')
    const [most] = (await losses(t, name, {})).sort((a, b) => b - a)
    t.ok(most > 0 && most < OF_ROUNDING, `${most} of the spread away from exact logits`)
  })

for (const name of AS_FLOATS)
  t.test(`${name}: as floats`, async (t) => {
    t.strictSame(failures(await verdictsOf(storedFamily(t, name, false))), [], 'as the exact reference')
    for (const [dtype, bound] of [
      ['float16', 0.003],
      ['bfloat16', 0.03],
    ] as const) {
      const [most] = (await losses(t, name, { dtype })).sort((a, b) => b - a)
      t.ok(most < bound, `--dtype ${dtype}: ${most} of the spread`)
    }
  })

t.test('--quantization rounds what the checkpoint left in floats, and nothing twice', async (t) => {
  const [most] = (await losses(t, 'packed4', { quantization: 'int8' })).sort((a, b) => b - a)
  t.ok(most < 2 * OF_ROUNDING, `${most} of the spread`)
})

t.test('a second start maps the packed integers', async (t) => {
  const directory = t.testdir({})
  const family = storedFamily(t, 'gptq4-ordered', true)
  for (const start of ['first', 'second']) {
    const verdicts = await verdictsOf(family, { weightCache: { directory, maxBytes: 1 << 20 } })
    t.strictSame(failures(verdicts), [], start)
    t.equal(readdirSync(directory).filter((file) => file.endsWith('.weights')).length, 1)
  }
})
