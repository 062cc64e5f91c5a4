/** An engine in its thread for the programs of the GPU check, and sequences through it. */
import type { Device } from '../../native/types.ts'
import {
  type Engine,
  type EngineSettings,
  type SequenceOutput,
  type SequenceRequest,
  type StepTimes,
  startEngine,
} from '../../runtime/index.ts'
import { greedy } from '../../test/support/greedy.ts'

export interface BenchEngineOptions {
  modelDir: string
  device: Device
  dtype: EngineSettings['dtype']
  maxModelLen: number
  poolBytes?: number
  maxBatchTokens?: number
  maxSequences?: number
  /** CUDA: replay decode steps as graphs. */
  captureGraphs?: boolean
}

export function startBenchEngine(options: BenchEngineOptions): Promise<Engine> {
  const { device, maxBatchTokens = 2048, maxSequences = 128 } = options
  const settings: EngineSettings = {
    ...options,
    adapterDtype: 'auto',
    // All that the device has, unless the caller says otherwise; the CPU has no such default.
    poolBytes: options.poolBytes ?? (device === 'cpu' ? 512 << 20 : undefined),
    maxBatchTokens,
    maxSequences,
    threads: 2,
    prefixCache: true,
  }
  return startEngine(settings)
}

export interface Generate {
  promptIds: number[]
  newTokens: number
  adapter?: { name: string; digest: string }
  returnLogits?: boolean
}

let made = 0

/** Submits all at once; resolves with every sequence's tokens (and logits) when the last has ended. Greedy, to full length. */
export function generateAll(
  engine: Engine,
  asks: Generate[],
  onFirst?: (ask: number) => void,
): Promise<{ tokens: number[]; logits: Float32Array[] }[]> {
  return Promise.all(
    asks.map(
      (ask, i) =>
        new Promise<{ tokens: number[]; logits: Float32Array[] }>((resolve, reject) => {
          const tokens: number[] = []
          const logits: Float32Array[] = []
          engine.submit(requestOf(ask), (output: SequenceOutput) => {
            if (output.error) return reject(new Error(`${output.error.code}: ${output.error.message}`))
            if (tokens.length === 0 && output.tokens.length > 0) onFirst?.(i)
            tokens.push(...output.tokens)
            logits.push(...(output.logits ?? []))
            if (output.finish) resolve({ tokens, logits })
          })
        }),
    ),
  )
}

function requestOf(ask: Generate): SequenceRequest {
  return {
    id: `bench-${made++}`,
    promptIds: ask.promptIds,
    sampling: { ...greedy(ask.newTokens), returnLogits: ask.returnLogits },
    adapters: ask.adapter ? [{ ...ask.adapter, weight: 1 }] : [],
    arrival: Date.now(),
  }
}

export interface DecodeTimes {
  /** Milliseconds of each pure decode step of all rows: in the graph, and in sampling. */
  run: number[]
  sample: number[]
  /** Milliseconds from step to step as the host saw them, scheduling and messages included: the mean over each run of pure decode steps. */
  wall: number[]
}

/** Generates for all asks together and keeps the times of the steps in which each of them decoded one token. */
export async function decodeTimes(engine: Engine, asks: Generate[]): Promise<DecodeTimes> {
  const times: DecodeTimes = { run: [], sample: [], wall: [] }
  let first = Number.NaN
  let last = Number.NaN
  engine.onStep = (step: StepTimes) => {
    if (step.tokens !== asks.length || step.sequences !== asks.length) return
    times.run.push(step.runMs)
    times.sample.push(step.sampleMs)
    // Several steps can be told in one message, so only the ends of the run are times.
    last = performance.now()
    if (times.run.length === 1) first = last
  }
  await generateAll(engine, asks)
  engine.onStep = undefined
  if (times.run.length > 1) times.wall.push((last - first) / (times.run.length - 1))
  return times
}

/** Numbers from 10 to below `limit` that only (seed, i) decide: prompts. */
export function promptOf(seed: number, length: number, limit: number): number[] {
  let state = (seed * 2654435761 + 12345) >>> 0
  return Array.from({ length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return 10 + Math.floor((state / 0x1_0000_0000) * (limit - 10))
  })
}
