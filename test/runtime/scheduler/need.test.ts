/** The need of an admission: computed without a change, decided without a change, and taken whole or not at all. */
import t from 'tap'
import { Pool } from '../../../runtime/pool/pool.ts'
import { Admission } from '../../../runtime/scheduler/admission.ts'
import { claimOf, fits, needOf, Room } from '../../../runtime/scheduler/need.ts'
import { Sequence } from '../../../runtime/scheduler/sequence.ts'
import { greedy } from '../../support/greedy.ts'
import { packed, toyImage, use } from '../../support/toy-core.ts'

const [there, idle, missing] = [toyImage('there', 2), toyImage('idle', 3), toyImage('missing', 4)]
const images = new Map([there, idle, missing].map((image) => [image.digest, image]))
const limits = { maxModelLen: 1000, maxBatchTokens: 64, maxSequences: 8, prefixCache: true, copiesAside: false }

/** A pool of 20 blocks of 4 tokens: one adapter in use, one idle, and a cached prefix of two blocks. */
function world() {
  let refuse = ''
  const table = {
    putAdapter({ digest }: { digest: bigint }) {
      if (refuse.startsWith(digest.toString(16).padStart(16, '0')) && refuse) throw new RangeError('a row is out of range')
    },
    adapterReady: () => true,
    dropAdapter() {},
  }
  const pool = new Pool(table, 20, 4, 4096)
  const admission = new Admission(pool, limits, images)
  for (const image of [there, idle]) pool.adapters.load(image, 0, () => false)
  pool.adapters.acquire(there.digest, 0)
  const uses = [use(there), use(idle), use(missing)]
  const sequence = (length: number) => {
    const promptIds = Array.from({ length }, (_, i) => i)
    return new Sequence(packed({ id: 'a', promptIds, adapters: uses, arrival: 0, sampling: greedy(4) }), 0n, 0)
  }
  for (const [i, block] of (pool.allocateKv(2) as number[]).entries()) {
    pool.prefixes.register(block, sequence(40).hash(i, 4), 'key')
    pool.prefixes.release(block, 0)
  }
  const counts = () => [pool.blocks.free, pool.prefixes.idleBlocks, pool.adapters.idleBlocks, pool.adapters.loads]
  const refuseMissing = () => {
    refuse = missing.digest
  }
  return { pool, admission, sequence, counts, refuseMissing }
}

t.test('it names what is missing, what is cached, and what would no longer be idle', async (t) => {
  const { pool, sequence, counts } = world()
  const before = counts()
  const need = needOf(sequence(21), pool, images, true)
  t.match(need, { missing: [missing], tokenBlocks: 4, idle: [{ image: idle }], idlePrefix: 2 })
  t.equal(need.prefix.length, 2)
  t.match(needOf(sequence(21), pool, images, false), { prefix: [], tokenBlocks: 6, idle: [{ image: idle }], idlePrefix: 0 })
  t.match(needOf(sequence(8), pool, images, true), { tokenBlocks: 1 }, 'the last token is computed in any case')
  const kept = { adapters: new Set([idle.digest]), prefixes: new Set([need.prefix[0]]) }
  t.match(needOf(sequence(21), pool, images, true, kept), { idle: [], idlePrefix: 1 }, 'what is spoken for is counted once')
  t.same(counts(), before, 'nothing has changed')
})

t.test('it fits when those that run still get what they will take', async (t) => {
  const { pool, sequence } = world()
  const need = needOf(sequence(21), pool, images, true)
  // 4 for its tokens, 4 for what is missing, 3 and 2 that are idle now.
  const room = new Room(pool, 0)
  t.equal(room.available, 18)
  t.ok(fits(need, new Room(pool, 5)))
  t.notOk(fits(need, new Room(pool, 6)))
  t.match(room.beside(need), { available: 18 - 4 - 5, spare: 0 })
  t.equal(room.available, 18, 'nothing has changed')
  const one = sequence(48)
  one.blocks = [1, 2]
  t.equal(claimOf(one, 4), 11, '10 blocks of its prompt are to come, and one to grow')
})

t.test('it is taken whole', async (t) => {
  const { pool, admission, sequence } = world()
  const one = sequence(21)
  const available = pool.available()
  t.equal(admission.take(one, admission.need(one), 5), 5)
  t.match(one, { computed: 8, registered: 2, cachedTokens: 8 })
  t.equal(one.blocks.length, 4, 'two that were cached, two for the chunk')
  t.equal(pool.available(), available - 3 - 2 - 4 - 2)
  t.same(
    [there, idle, missing].map((image) => pool.adapters.get(image.digest)?.references),
    [2, 1, 1],
  )
})

t.test('when the addon refuses an adapter, nothing is kept', async (t) => {
  const { pool, admission, sequence, counts, refuseMissing } = world()
  const before = counts()
  refuseMissing()
  const one = sequence(21)
  t.throws(() => admission.take(one, admission.need(one), 5), { code: 'adapter_not_loadable', message: /missing .*a row is out/ })
  t.same(counts(), before)
  t.match(one, { blocks: [], computed: 0, registered: 0 })
  t.equal(pool.adapters.get(there.digest)?.references, 1)
})

t.test('a need that does not fit is an error of the engine, not a refusal of the request', async (t) => {
  const { pool, admission, sequence } = world()
  const one = sequence(21)
  const need = admission.need(one)
  pool.allocateKv(pool.available())
  t.throws(() => admission.take(one, { ...need, missing: [], prefix: [] }, 5), /less room than it said/)
})
