/** Rows and their sampling parameters, as they are packed for the native step. */
import t from 'tap'
import { logitsRows } from '../../../runtime/engine/rows.ts'
import { packSampling } from '../../../runtime/engine/sampling.ts'
import { Sequence } from '../../../runtime/scheduler/sequence.ts'
import type { SamplingParams } from '../../../runtime/types.ts'
import { greedy } from '../../support/greedy.ts'

const plain: SamplingParams = { ...greedy(9), ignoreEos: false }

function sequence(sampling: Partial<SamplingParams> = {}, output: number[] = [], seed = 5n): Sequence {
  const one = new Sequence(
    { id: 'a', promptIds: [10, 11, 12, 13], sampling: { ...plain, ...sampling }, adapters: [], arrival: 0 },
    seed,
    0,
  )
  one.tokens.push(...output)
  return one
}
const sampled = (one: Sequence) => ({ sequence: one, at: 0, target: -1 })

t.test('parameters go to their own rows', (t) => {
  const batch = packSampling([
    sampled(sequence({ temperature: 0.5, topP: 0.75, topK: 4, minP: 0.25, logprobs: 3 }, [20, 21], 7n)),
    sampled(sequence()),
  ])
  t.same([...batch.temperature], [0.5, 0])
  t.same([...batch.topP], [0.75, 1])
  t.same([...batch.topK], [4, 0])
  t.same([...batch.minP], [0.25, 0])
  t.same([...batch.logprobs], [3, -1])
  t.same([...batch.seed], [7n, 5n])
  t.same([...batch.position], [2, 0], 'the draw depends on the place in the output, not in the batch')
  t.same([...batch.target], [-1, -1])
  t.end()
})

t.test('only rows with a penalty carry their history', (t) => {
  const batch = packSampling([
    sampled(sequence({}, [1])),
    sampled(sequence({ presencePenalty: 0.5 }, [20, 21])),
    sampled(sequence({ repetitionPenalty: 2 })),
    sampled(sequence({ frequencyPenalty: -1 }, [20])),
  ])
  t.same([...batch.historyStarts], [0, 0, 6, 10, 15])
  t.same([...batch.history], [10, 11, 12, 13, 20, 21, 10, 11, 12, 13, 10, 11, 12, 13, 20])
  t.same([...batch.historyPrompt], [0, 4, 4, 4])
  t.same([...batch.presencePenalty], [0, 0.5, 0, 0])
  t.same([...batch.repetitionPenalty], [1, 1, 2, 1])
  t.same([...batch.frequencyPenalty], [0, 0, 0, -1])
  t.end()
})

t.test('stop and eos tokens are banned until min_tokens, each once, beside the biases', (t) => {
  const params = { minTokens: 2, stopTokenIds: [3, 4], eosTokenIds: [4], logitBias: [[8, 1.5]] as [number, number][] }
  const batch = packSampling([sampled(sequence(params)), sampled(sequence(params, [20])), sampled(sequence(params, [20, 21]))])
  t.same([...batch.biasStarts], [0, 3, 6, 7])
  t.same([...batch.biasTokens], [8, 3, 4, 8, 3, 4, 8])
  t.same([...batch.biasValues], [1.5, -Infinity, -Infinity, 1.5, -Infinity, -Infinity, 1.5])
  t.end()
})

t.test('allowed tokens are a list per row', (t) => {
  const batch = packSampling([sampled(sequence()), sampled(sequence({ allowedTokenIds: [5, 6] })), sampled(sequence())])
  t.same([...batch.allowedStarts], [0, 0, 2, 2])
  t.same([...batch.allowedTokens], [5, 6])
  t.end()
})

t.test('a row that scores the prompt samples nothing and is not biased', (t) => {
  const one = sequence({
    promptLogprobs: 2,
    logprobs: 5,
    temperature: 1,
    logitBias: [[1, 1]],
    presencePenalty: 1,
    minTokens: 1,
    stopTokenIds: [2],
  })
  const batch = packSampling([{ sequence: one, at: 0, target: 11 }])
  t.same([...batch.target], [11])
  t.same([...batch.logprobs], [2])
  t.same([batch.history.length, batch.biasTokens.length, batch.temperature[0], batch.presencePenalty[0]], [0, 0, 0, 0])
  t.end()
})

t.test('only the last token of a sequence gives logits, and only when the chunk reaches it', (t) => {
  const one = sequence()
  t.same(logitsRows({ sequence: one, count: 3 }, 50), [])
  one.computed = 3
  t.same(logitsRows({ sequence: one, count: 1 }, 50), [{ sequence: one, at: 50, target: -1 }])
  t.end()
})

t.test('prompt scoring: every position once, over chunks and after a preemption', (t) => {
  const one = sequence({ promptLogprobs: 0 })
  const rows = (count: number) => logitsRows({ sequence: one, count }, 0).map(({ at, target }) => [at, target])
  t.same(rows(2), [
    [0, 11],
    [1, 12],
  ])
  one.promptLogprobs?.push({ token: 11, logprob: 0, rank: 1, top: [] }, { token: 12, logprob: 0, rank: 1, top: [] })
  // Preempted: computed again from the start, what is scored already is not scored again.
  t.same(rows(4), [
    [2, 13],
    [3, -1],
  ])
  one.computed = 2
  t.same(rows(2), [
    [0, 13],
    [1, -1],
  ])
  t.end()
})
