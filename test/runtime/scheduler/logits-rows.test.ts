/** Rows of logits in a step are capped: prompts that are scored share what the others leave, and nobody's token waits for them. */
import t from 'tap'
import { maxLogitsRows } from '../../../runtime/scheduler/admission.ts'
import { begin, rowsBeyondOne, withinRows } from '../../../runtime/scheduler/scheduled.ts'
import { Sequence } from '../../../runtime/scheduler/sequence.ts'
import { greedy } from '../../support/greedy.ts'
import { tokenLogprobs } from '../../support/logprobs.ts'
import { packed, ToyCore } from '../../support/toy-core.ts'
import { TOY_VOCABULARY, type ToyStep, toyTokens } from '../../support/toy-engine.ts'

const ids = (length: number, step = 7) => Array.from({ length }, (_, i) => (i * step) % TOY_VOCABULARY)
const rowsOf = (step: ToyStep) => step.sequences.reduce((sum, { rows }) => sum + rows.length, 0)

/** Steps as they were computed. */
function recorded(toy: ToyCore): ToyStep[] {
  const steps: ToyStep[] = []
  toy.native.beforeStep = (step) => steps.push(step)
  return steps
}

t.test('the most tokens within so many rows, by trying all', async (t) => {
  for (const scores of [0, -1])
    for (const output of [0, 1, 4])
      for (const scoredTo of [0, 3, 9, 10])
        for (const computed of [0, 2, 5]) {
          const sampling = { ...greedy(9), promptLogprobs: scores }
          const sequence = new Sequence(packed({ id: 'a', promptIds: ids(11), adapters: [], arrival: 0, sampling }), 0n, 0)
          for (let i = 0; i < output; i++) sequence.tokens.push(1)
          sequence.scoredTo = scoredTo
          sequence.computed = computed
          for (let count = 1; count <= sequence.remaining; count++)
            for (const spare of [0, 1, 2, 5, 20]) {
              const most = withinRows(sequence, count, spare)
              const { scored, samples } = begin(Object.assign(Object.create(sequence), sequence), most)
              if (scored + (samples ? 1 : 0) > 1 + spare || most < 1 || most > count) t.fail(`${most} of ${count} with ${spare}`)
              if (output === 0 && most < count && rowsBeyondOne(sequence, most + 1) <= spare)
                t.fail(`${most} of ${count}: more fit into ${spare}`)
            }
        }
  t.pass('all are right')
})

t.test('a step has no more rows than the cap, and every prompt is scored whole', async (t) => {
  for (const overlap of [false, true]) {
    const maxSequences = 4
    const toy = new ToyCore({ blockCount: 2000, maxBatchTokens: 1000, maxSequences, maxModelLen: 3000, overlap })
    const steps = recorded(toy)
    const lengths = [700, 1, 2, 300, 500, 129, 130, 5]
    for (const [i, length] of lengths.entries())
      toy.submit(`${i}`, ids(length, 3 + i), [], { maxTokens: i % 3 === 0 ? 0 : 5, promptLogprobs: 0 })
    await toy.drain()
    const most = Math.max(...steps.map(rowsOf))
    t.ok(most <= maxLogitsRows(maxSequences), `${most} rows`)
    t.ok(most > 128, 'and they are used')
    for (const [i, length] of lengths.entries()) {
      const scored = (toy.outputs.get(`${i}`) ?? []).flatMap(({ promptLogprobs }) => tokenLogprobs(promptLogprobs))
      t.same(
        scored.map(({ token }) => token),
        ids(length, 3 + i).slice(1),
      )
      t.same(toy.tokens(`${i}`), i % 3 === 0 ? [] : toyTokens(ids(length, 3 + i), [], 5))
    }
  }
})

t.test('who decodes has a token every step, and who comes is let in, while prompts are scored', async (t) => {
  const maxSequences = 40
  const toy = new ToyCore({ blockCount: 4000, maxBatchTokens: 2000, maxSequences, maxModelLen: 9000 })
  const steps = recorded(toy)
  for (let i = 0; i < maxSequences - 3; i++) toy.submit(`decodes ${i}`, ids(3, i + 1), [], { maxTokens: 60 })
  await toy.step()
  for (const name of ['scores', 'scores too']) toy.submit(name, ids(4000, name.length), [], { maxTokens: 1, promptLogprobs: 0 })
  for (let i = 0; i < 10; i++) await toy.step()
  toy.submit('comes', ids(1500), [], { maxTokens: 3 })
  for (let i = 0; i < 2; i++) await toy.step()
  t.ok(toy.tokens('comes').length > 0, 'a prompt without scoring takes the tokens that rows do not')
  const decoding = Array.from({ length: maxSequences - 3 }, (_, i) => toy.tokens(`decodes ${i}`).length)
  t.same([...new Set(decoding)], [13], 'a token in each of 13 steps')
  t.ok(steps.every((step) => rowsOf(step) <= maxLogitsRows(maxSequences)))
  await toy.drain()
  t.same(toy.tokens('scores'), toyTokens(ids(4000, 6), [], 1))
})

t.test('after a preemption what was scored is not scored again, within the cap', async (t) => {
  const toy = new ToyCore({ blockCount: 92, blockSize: 4, maxBatchTokens: 300, maxSequences: 2 })
  const steps = recorded(toy)
  toy.submit('first', ids(20), [], { maxTokens: 120 })
  toy.submit('scored', ids(300, 5), [], { maxTokens: 40, promptLogprobs: 0 })
  await toy.drain()
  t.ok(toy.core.snapshot().counters.preemptions > 0)
  const scored = (toy.outputs.get('scored') ?? []).flatMap(({ promptLogprobs }) => tokenLogprobs(promptLogprobs))
  t.same(
    scored.map(({ token }) => token),
    ids(300, 5).slice(1),
  )
  t.same(toy.tokens('scored'), toyTokens(ids(300, 5), [], 40))
  t.ok(steps.every((step) => rowsOf(step) <= maxLogitsRows(2)))
})
