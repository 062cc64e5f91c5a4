/** Costs that were measured elsewhere. */
import type { Cost } from './engines.ts'

/**
 * For machines that others use while this runs: what docs/benchmarks.md says of a quiet one. 135m (2026-11-24, two cores of a Xeon): a step of one row, one of 32 rows of 128 tokens and one with 313 MB of adapters beside
 * them (bench/step.ts), and docs/scheduler.md's milliseconds a token of a prompt; pairs of attention and multiplications are arithmetic at the rate of the products (190 GFLOP/s), copies
 * the pool's own guess of what one core copies.
 */
export const SAVED: Record<string, Cost> = {
  '135m': {
    step: { step: 18, tokens: 0.6, context: 1.7, pairs: 400, rows: 0.97, adapterMb: 0.046, productMb: 0.005 },
    copyMb: 0.25,
    around: 0.2,
  },
}
