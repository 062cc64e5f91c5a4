/** What a replica is: what its steps and loads take, and what its memory holds. */
import { SAVED } from '../slora/saved-cost.ts'
import type { StepCost } from '../slora/step-cost.ts'

export interface Profile {
  name: string
  /** Milliseconds of a step's parts. */
  step: StepCost
  /** The pool's blocks, which adapters, sequences and cached prefixes share. */
  blocks: number
  blockTokens: number
  /** MB of an adapter's rows, and blocks that it takes. */
  adapterMb: number
  adapterBlocks: number
  /** Milliseconds until a cold adapter is in host memory; and from there to the pool, which the engine's step waits for. */
  coldMs: number
  hostMs: number
  /** Adapters that host memory holds. */
  hostAdapters: number
  /** As the settings of these names. */
  maxSequences: number
  maxBatchTokens: number
  maxStepMs: number
  /** Names that /metrics tells at most. */
  metricsAdapters: number
}

/** What docs/benchmarks.md has of a 135M model on two cores: steps (bench/step.ts, 2026-11-24), and a cold adapter's token, 37 ms to 14.5 of one in the pool, once the pool's pages had been used (bench/adapters.ts, 2026-11-27). */
const MEASURED: Profile = {
  name: '135m',
  step: SAVED['135m'].step,
  // 2 GiB of pool; 4 GiB of host memory.
  blocks: Math.floor(2 ** 31 / 737_280),
  blockTokens: 16,
  adapterMb: 9.8,
  adapterBlocks: 14,
  coldMs: 37 - 14.5,
  hostMs: 9.8 * SAVED['135m'].copyMb,
  hostAdapters: Math.floor(2 ** 32 / 9.8e6),
  maxSequences: 128,
  maxBatchTokens: 256,
  maxStepMs: 120,
  metricsAdapters: 256,
}

/**
 * An 8B Llama in 16 bits on an 80 GB GPU, as nobody here has measured it: steps by their floors (16 GB of weights, 131 KB of KV a token and rank rows at 3.35 TB/s and 0.8 of it, products at half of 990 TFLOP/s), an adapter of rank 16 on all
 * projections; its load alone is measured (bench/fold.ts: 0.11 s from files in the page cache).
 */
const BY_FLOORS: Profile = {
  name: '8b',
  step: { step: 6, tokens: 0.032, context: 0.049, pairs: 1.05, rows: 0.02, adapterMb: 0.00037, productMb: 0 },
  // 56 GB in blocks of 2 MiB; 64 GB of host memory.
  blocks: 26_700,
  blockTokens: 16,
  adapterMb: 84,
  adapterBlocks: 40,
  coldMs: 110,
  hostMs: 84 / 25,
  hostAdapters: 760,
  maxSequences: 256,
  maxBatchTokens: 2048,
  maxStepMs: 120,
  metricsAdapters: 256,
}

export const PROFILES: Record<string, Profile> = { '135m': MEASURED, '8b': BY_FLOORS }
