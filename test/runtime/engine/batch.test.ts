/** The batch that lives in the addon: what it is told, and when. */
import t from 'tap'
import { type SlotInput, STEP_BLOCK_FIELDS, STEP_SEQUENCE, STEP_SEQUENCE_FIELDS } from '../../../native/types.ts'
import { Batch } from '../../../runtime/engine/batch.ts'
import { requestPacker } from '../../../runtime/engine/packed-request.ts'
import { Pool } from '../../../runtime/pool/pool.ts'
import type { Scheduled } from '../../../runtime/scheduler/scheduled.ts'
import { Sequence } from '../../../runtime/scheduler/sequence.ts'
import type { AdapterUse, SamplingParams } from '../../../runtime/types.ts'
import { greedy } from '../../support/greedy.ts'
import { toyImage, use } from '../../support/toy-core.ts'

function world(slots = 8) {
  const admitted: SlotInput[] = []
  const released: number[] = []
  const pool = new Pool({ putAdapter() {}, adapterReady: () => true, dropAdapter() {} }, 32, 4, 64)
  const native = { admit: (input: SlotInput) => void admitted.push(input), release: (slot: number) => void released.push(slot) }
  return { admitted, released, pool, batch: new Batch(native, slots, pool.adapters) }
}

const pack = requestPacker(100)
let made = 0
function sequence(adapters: AdapterUse[] = [], sampling: Partial<SamplingParams> = {}): Sequence {
  const id = `${made++}`
  const request = pack({ id, promptIds: [10, 11, 12, 13], adapters, arrival: 0, sampling: { ...greedy(9), ...sampling } })
  return new Sequence(request, 5n, made)
}

const scheduled = (one: Sequence, from: number, count: number, rest: Partial<Scheduled> = {}): Scheduled => ({
  sequence: one,
  from,
  count,
  scoreFrom: from,
  scored: 0,
  samples: true,
  drafted: 0,
  sumFrom: 0,
  summed: 0,
  ...rest,
})
const items = (array: Int32Array, fields: number) =>
  Array.from({ length: array.length / fields }, (_, i) => [...array.subarray(i * fields, (i + 1) * fields)])

t.test('a sequence is admitted once, and only new blocks are told', async (t) => {
  const { admitted, released, batch } = world()
  const one = sequence()
  one.blocks = [7]
  const first = batch.pack([scheduled(one, 0, 3, { samples: false })])
  t.equal(admitted.length, 1)
  t.match(admitted[0], { slot: one.slot, promptLength: 4, seed: 5n })
  t.same([...admitted[0].tokens], [10, 11, 12, 13])
  t.same(items(first.batch.blocks, STEP_BLOCK_FIELDS), [[one.slot, 0, 7]])
  t.same(items(first.batch.sequences, STEP_SEQUENCE_FIELDS), [[one.slot, 0, 3, 0, 0, 0, 0, 0, 0]])
  one.blocks.push(3)
  const second = batch.pack([scheduled(one, 3, 1)])
  t.equal(admitted.length, 1)
  t.same(items(second.batch.blocks, STEP_BLOCK_FIELDS), [[one.slot, 1, 3]])
  t.equal(second.batch.sequences[STEP_SEQUENCE.samples], 1)
  t.equal(batch.pack([scheduled(one, 4, 1)]).batch.blocks.length, 0)
  const { slot } = one
  batch.leave(one)
  t.same(released, [slot])
  one.tokens.push(50)
  batch.pack([scheduled(one, 0, 5)])
  t.same([...admitted[1].tokens], [10, 11, 12, 13, 50], 'after a preemption it brings its output too')
  t.equal(admitted[1].promptLength, 4)
})

t.test('sequences of one adapter lie side by side whatever their order', async (t) => {
  const { batch, pool, admitted } = world()
  const [x, y] = [toyImage('x', 1), toyImage('y', 2)]
  for (const image of [x, y]) pool.adapters.load(image, 0, () => false)
  // The same mix named in two orders is one mix.
  const mixes = [[use(x)], [], [use(x)], [use(y), use(x, 0.5)], [use(x, 0.5), use(y)]]
  const planned = mixes.map((adapters) => scheduled(sequence(adapters), 0, 4))
  const { scheduled: packed, tokens } = batch.pack(planned)
  t.equal(tokens, 20)
  t.same(
    packed.map((item) => planned.indexOf(item)),
    [0, 2, 1, 3, 4],
  )
  t.same(admitted[3].entryAdapter, admitted[4].entryAdapter)
  t.same(admitted[3].entryWeight, admitted[4].entryWeight, 'its entries have one order')
  t.equal(admitted[0].entryDigest[0], BigInt(`0x${x.digest.slice(0, 16)}`))
})

t.test('options and lists cross once, and what sequences share is shared', async (t) => {
  const allowedTokenIds = [3, 64, 99]
  const logitBias: [number, number][] = [
    [8, 1.5],
    [2, -1],
    [100, 3],
  ]
  const sampling = {
    ...greedy(9),
    temperature: 0.5,
    topK: 4,
    minTokens: 2,
    allowedTokenIds,
    logitBias,
    stopTokenIds: [8, -1, 3, 100],
  }
  const ids = Array.from({ length: 300 }, (_, i) => i % 100)
  const [a, b] = ['a', 'b'].map((id) =>
    pack({ id, promptIds: ids, adapters: [], arrival: 0, sampling: { ...sampling, seed: 3n } }),
  )
  t.same([...a.lists.allowed], [8, 0, 1, 8], 'a bit per token id')
  t.same([...a.lists.biasTokens], [8, 2])
  t.same([...a.lists.biasValues], [1.5, -1])
  t.same([...a.lists.stopTokens], [8, 3])
  t.equal(a.lists.allowed, b.lists.allowed, 'made once')
  t.equal(a.promptIds, b.promptIds)
  t.type(a.promptIds.buffer, SharedArrayBuffer, 'and what is long is not copied to the other thread')
  t.equal(pack({ ...a, promptIds: ids, sampling: greedy(1) } as never).lists.allowed.length, 0, 'everything is allowed')
  const { batch, admitted } = world()
  const one = new Sequence(a, 1n, 0)
  one.blocks = Array.from({ length: 75 }, (_, i) => i)
  batch.pack([scheduled(one, 0, 300)])
  t.same([...admitted[0].options], [0.5, 1, 4, 0, 0, 0, 1, 2, -1, -1])
})
