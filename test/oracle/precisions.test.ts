/**
 * The CPU's 16-, 8- and 4-bit weights against transformers + PEFT in float32, alone and with adapters of every method: no more is lost than was when docs/accuracy.md was
 * written, with some room. A weight, an adapter or a lookup in the wrong place loses everything.
 */
import t from 'tap'
import { CPU_PRECISIONS } from '../../bench/cpu-precisions.ts'
import { quantile } from '../../bench/report.ts'
import { oracleLosses } from '../support/oracle-losses.ts'

/** Untied and tied heads, biases, fused projections, norms everywhere, tokens that adapters add. */
const FAMILIES = ['llama', 'llama-tied', 'qwen2', 'phi3', 'gemma2', 'olmo2', 'added-granite']

/** Of the errors the middle and the largest, in parts of the logits' spread; of greedy tokens the part that is kept. */
const BOUNDS: Record<string, { middle: number; most: number; kept: number }> = {
  float16: { middle: 1e-3, most: 0.01, kept: 0.98 },
  bfloat16: { middle: 0.01, most: 0.05, kept: 0.75 },
  int8: { middle: 0.03, most: 0.12, kept: 0.5 },
  int4: { middle: 0.2, most: 0.8, kept: 0.1 },
}

for (const [name, { middle, most, kept }] of Object.entries(BOUNDS))
  t.test(name, async (t) => {
    const losses = await oracleLosses(FAMILIES, CPU_PRECISIONS[name])
    const [half, worst] = [0.5, 1].map((q) => quantile(losses.errors, q))
    const share = losses.kept / losses.tokens
    t.ok(half > 0 && half < middle, `logits err by ${half} of their spread in the middle case`)
    t.ok(worst < most, `and by ${worst} in the worst`)
    t.ok(share > kept, `${share} of the tokens are kept`)
  })
