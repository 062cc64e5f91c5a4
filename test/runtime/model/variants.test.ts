/**
 * Configs that the oracle never writes (older keys, silent ones, rope kinds, windows) against transformers' logits: test/fixtures/model/make.py.
 */
import t from 'tap'
import { changedModel, type Json, logitsOf } from '../../support/model-folder.ts'
import { fixture, readJson } from '../../support/repo.ts'

interface Variant {
  name: string
  family: string
  set: Json
  drop: string[]
  logits: number[]
}
const { prompt, variants } = readJson<{ prompt: number[]; variants: Variant[] }>(fixture('model/variants.json'))

/** The fixture's logits have four digits after the point; the engine's own error is about 1e-5. */
const TOLERANCE = 1e-4

t.ok(variants.length >= 20, 'there are variants')

for (const { name, family, set, drop, logits } of variants)
  t.test(name, async (t) => {
    const folder = changedModel(t, family, (config) => {
      for (const key of drop) delete config[key]
      Object.assign(config, set)
    })
    // Chunks of 7 tokens read windows and rotated keys back from the cache at every offset.
    const got = await logitsOf(folder, prompt, 7)
    t.equal(got.length, logits.length)
    const apart = got.reduce((worst, value, i) => Math.max(worst, Math.abs(value - logits[i])), 0)
    t.ok(apart <= TOLERANCE, `off by ${apart}`)
  })
