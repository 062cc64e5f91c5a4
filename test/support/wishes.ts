/** Requests that ask for everything that a request may ask for, in a pool too small for all at once, and what the engine tells each. */
import path from 'node:path'
import {
  type EngineSettings,
  type EngineSnapshot,
  type SamplingParams,
  type SequenceOutput,
  startEngine,
} from '../../runtime/index.ts'
import { greedy } from './greedy.ts'
import { tokenLogprobs } from './logprobs.ts'
import { repoRoot } from './repo.ts'

const settings: EngineSettings = {
  modelDir: path.join(repoRoot(), 'deploy/demo-model/base'),
  dtype: 'float32',
  device: 'cpu',
  // Too small for all at once: some are preempted.
  poolBytes: 400 << 10,
  blockSize: 4,
  maxBatchTokens: 24,
  maxSequences: 6,
  adapterDtype: 'float16',
  threads: 2,
  prefixCache: true,
  validate: true,
}

const even = Array.from({ length: 700 }, (_, i) => 2 * i + 6)
const wishes: Partial<SamplingParams>[] = [
  {},
  { temperature: 0.9, seed: 7n },
  { temperature: 1.2, topK: 30, topP: 0.8, seed: 1n << 63n },
  { repetitionPenalty: 1.3, presencePenalty: 0.4, frequencyPenalty: 0.2 },
  { allowedTokenIds: even, repetitionPenalty: 1.2 },
  { logitBias: [[300, 5] as [number, number], [2, -100] as [number, number]], temperature: 0.7, seed: 3n },
  { minTokens: 12, stopTokenIds: Array.from({ length: 900 }, (_, i) => i) },
  { stopTokenIds: Array.from({ length: 400 }, (_, i) => 3 * i) },
  { logprobs: 3, promptLogprobs: 2 },
  { maxTokens: 1 },
  { maxTokens: 0, promptLogprobs: 0 },
]

export interface Told {
  id: string
  tokens: number[]
  logprobs: unknown[]
  promptLogprobs: unknown[]
  finish?: string
  stopToken?: number
}

/** `promptOf`: the prompt of the i-th of 33. `complaint`: what did not come back to the pool. */
export async function answersTo(
  rest: Partial<EngineSettings>,
  promptOf: (i: number) => number[],
  tokens = 20,
): Promise<{ told: Told[]; counters: EngineSnapshot['counters']; complaint?: string }> {
  const engine = await startEngine({ ...settings, ...rest })
  try {
    const outputs = new Map<string, SequenceOutput[]>()
    const ends = Array.from({ length: 33 }, (_, i) => {
      const sampling = { ...greedy(tokens), stopTokenIds: [], logprobs: 0, ...wishes[i % wishes.length] }
      const promptIds = promptOf(i)
      const mine: SequenceOutput[] = []
      outputs.set(`${i}`, mine)
      return new Promise<void>((resolve) => {
        engine.submit({ id: `${i}`, promptIds, adapters: [], arrival: i, sampling }, (output) => {
          mine.push(output)
          if (output.finish) resolve()
        })
      })
    })
    await Promise.all(ends)
    await engine.idle()
    const { blocks, counters } = engine.snapshot
    const free = blocks.free + blocks.cachedPrefixes
    const told = [...outputs].map(([id, all]) => ({
      id,
      tokens: all.flatMap((output) => output.tokens),
      logprobs: all.flatMap((output) => tokenLogprobs(output.logprobs)),
      promptLogprobs: all.flatMap((output) => tokenLogprobs(output.promptLogprobs)),
      finish: all.at(-1)?.finish,
      stopToken: all.at(-1)?.stopToken,
    }))
    return { told, counters, complaint: free === blocks.total ? undefined : `${free} of ${blocks.total} blocks are free` }
  } finally {
    await engine.close()
  }
}
