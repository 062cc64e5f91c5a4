/** Pooled sequences in the engine's core, over the toy model: in chunks, put back, beside a step that fails, and aborted. */
import t from 'tap'
import { POOLED_SAMPLING, type Pooling } from '../../runtime/index.ts'
import { ToyCore, toyImage, use } from '../support/toy-core.ts'
import { toyPooled, toyTokens } from '../support/toy-engine.ts'

const prompt = (length: number, seed = 1) => Array.from({ length }, (_, i) => (i * 7 + seed * 13) % 97)
const KINDS: Pooling[] = ['last', 'first', 'mean', 'each']

/** What a kind of pooling must give. */
function wanted(ids: number[], adapters: { digest: string; weight: number }[], pooling: Pooling): number[] {
  if (pooling === 'each') return ids.flatMap((_, i) => toyPooled(ids, adapters, i, i + 1))
  const [from, to] = pooling === 'mean' ? [0, ids.length] : pooling === 'first' ? [0, 1] : [ids.length - 1, ids.length]
  return toyPooled(ids, adapters, from, to)
}

function submitAll(toy: ToyCore, count: number, round = '') {
  const image = toyImage('a', 1)
  toy.core.addAdapter(image)
  const cases = Array.from({ length: count }, (_, i) => ({
    id: `${round}${i}`,
    ids: prompt(1 + ((i * 11) % 40), i % 4),
    uses: i % 3 ? [use(image)] : [],
    pooling: KINDS[i % 4],
  }))
  for (const { id, ids, uses, pooling } of cases) toy.submit(id, ids, uses, POOLED_SAMPLING, { pooling })
  return cases
}

for (const overlap of [false, true])
  t.test(`in chunks, twice over the same prefixes, ${overlap ? 'two steps in flight' : 'step by step'}`, async (t) => {
    const toy = new ToyCore({ blockCount: 40, maxBatchTokens: 9, maxSequences: 6, overlap })
    for (const round of ['first ', 'second ']) {
      const cases = submitAll(toy, 24, round)
      await toy.drain()
      for (const { id, ids, uses, pooling } of cases) {
        const last = toy.last(id)
        t.equal(last?.finish, 'stop')
        t.same([...(last?.pooled ?? [])], wanted(ids, uses, pooling), `${id}: ${pooling} of ${ids.length}`)
        t.equal(toy.outputs.get(id)?.length, 1, 'told once')
      }
    }
    t.equal(toy.core.counters.generationTokens, 0)
    t.ok(toy.core.counters.cachedTokens > 0, 'of the last token some was cached')
    t.equal(toy.core.snapshot().blocks.sequences, 0)
  })

for (const overlap of [false, true])
  t.test(`beside others that generate, put back, and a step that fails; overlap ${overlap}`, async (t) => {
    const toy = new ToyCore({ blockCount: 22, maxBatchTokens: 9, maxSequences: 8, overlap })
    let failed = 0
    let begun = 0
    // Never one alone: it would be taken for the guilty one.
    toy.native.beforeStep = ({ sequences }) => {
      if (++begun % 7 !== 5 || sequences.length === 1) return
      failed++
      throw new Error('a step that fails')
    }
    for (let i = 0; i < 4; i++) toy.submit(`generated ${i}`, prompt(5, i), [], { maxTokens: 20 })
    const cases = submitAll(toy, 12)
    await toy.drain()
    t.ok(failed > 0, `${failed} steps failed`)
    t.ok(toy.core.scheduler.preemptions > 0, `${toy.core.scheduler.preemptions} were put back`)
    for (const { id, ids, uses, pooling } of cases)
      t.same([...(toy.last(id)?.pooled ?? [])], wanted(ids, uses, pooling), `${id}: ${pooling} of ${ids.length}`)
    for (let i = 0; i < 4; i++) t.same(toy.tokens(`generated ${i}`), toyTokens(prompt(5, i), [], 20))
    t.equal(toy.core.snapshot().blocks.sequences, 0)
  })

t.test('aborted half way', async (t) => {
  const toy = new ToyCore({ blockCount: 40, maxBatchTokens: 8 })
  toy.submit('long', prompt(60), [], POOLED_SAMPLING, { pooling: 'mean' })
  await toy.step()
  await toy.step()
  toy.core.abort('long')
  await toy.drain()
  t.match(toy.last('long'), { finish: 'abort', pooled: undefined })
  t.equal(toy.core.snapshot().blocks.sequences, 0)
})

t.test('a hidden state that is no number', async (t) => {
  const toy = new ToyCore({ blockCount: 40 })
  const step = toy.native.step.bind(toy.native)
  toy.native.step = async (batch) => {
    const output = await step(batch)
    return output.sums ? { ...output, sums: output.sums.fill(Number.NaN) } : output
  }
  toy.submit('odd', prompt(5), [], POOLED_SAMPLING, { pooling: 'last' })
  await toy.drain()
  t.match(toy.last('odd'), { finish: 'error', error: { code: 'non_finite_logits', message: /no finite hidden state/ } })
})
