/** Steps that are planned while one runs answer as steps one after the other do, to the bit: whatever a request asks for, ends, preemptions and prefixes included. */
import path from 'node:path'
import t from 'tap'
import { type EngineSettings, type SamplingParams, type SequenceOutput, startEngine } from '../../../runtime/index.ts'
import { greedy } from '../../support/greedy.ts'
import { tokenLogprobs } from '../../support/logprobs.ts'
import { repoRoot } from '../../support/repo.ts'

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

async function answers(asyncScheduling: boolean) {
  const engine = await startEngine({ ...settings, asyncScheduling })
  try {
    const outputs = new Map<string, SequenceOutput[]>()
    const ends = Array.from({ length: 33 }, (_, i) => {
      const sampling = { ...greedy(20), stopTokenIds: [], logprobs: 0, ...wishes[i % wishes.length] }
      const promptIds = Array.from({ length: 6 + ((i * 5) % 23) }, (_, k) => 10 + (((i % 3) * 40 + k * 7) % 900))
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
    const { preemptions } = engine.snapshot.counters
    const { blocks } = engine.snapshot
    t.equal(blocks.free + blocks.cachedPrefixes, blocks.total, 'every block has come back')
    const merged = [...outputs].map(([id, all]) => ({
      id,
      tokens: all.flatMap((output) => output.tokens),
      logprobs: all.flatMap((output) => tokenLogprobs(output.logprobs)),
      promptLogprobs: all.flatMap((output) => tokenLogprobs(output.promptLogprobs)),
      finish: all.at(-1)?.finish,
      stopToken: all.at(-1)?.stopToken,
    }))
    return { merged, preemptions }
  } finally {
    await engine.close()
  }
}

t.test('answers do not depend on when steps are planned', async (t) => {
  const one = await answers(false)
  const two = await answers(true)
  t.ok(one.preemptions > 0 && two.preemptions > 0, `preempted ${one.preemptions} and ${two.preemptions} times`)
  t.ok(
    one.merged.some(({ finish }) => finish === 'stop'),
    'some are stopped',
  )
  for (const [i, { id, ...expected }] of one.merged.entries()) {
    const { id: _, ...got } = two.merged[i]
    t.same(got, expected, `request ${id}`)
  }
})
