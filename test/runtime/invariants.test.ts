/** The validator itself: each kind of damage is named. One that accepts everything would make every other test here worthless. */
import t from 'tap'
import { checkInvariants } from '../../runtime/invariants.ts'
import { ADAPTER, FREE } from '../../runtime/pool/blocks.ts'
import { HOLD_LIMIT } from '../../runtime/scheduler/arrivals.ts'
import { ToyCore, toyImage, use } from '../support/toy-core.ts'

/** Two sequences that share a prefix and an adapter, one that waits. */
async function busy() {
  const toy = new ToyCore({ blockCount: 32, maxSequences: 2, framesPerBlock: 8 })
  const image = toyImage('x', 2, 3, 8)
  const idle = toyImage('idle', 0, 3, 8)
  toy.core.addAdapter(idle)
  toy.submit('uses it', [1], [use(idle)], { maxTokens: 1 })
  await toy.drain()
  toy.core.addAdapter(image)
  const stem = [1, 2, 3, 4, 5, 6, 7, 8]
  toy.submit('a', [...stem, 9], [use(image)], { maxTokens: 20 })
  await toy.step()
  toy.submit('b', [...stem, 10], [use(image)], { maxTokens: 20 })
  toy.submit('waits', [1])
  await toy.step()
  const { scheduler, pool } = toy.core
  const resident = pool.adapters.get(image.digest)
  const neighbour = pool.adapters.get(idle.digest)
  if (!resident || !neighbour) throw new Error('the adapters must be resident')
  return { scheduler, pool, resident, neighbour, check: () => checkInvariants(scheduler, pool) }
}

t.test('a healthy engine passes, with shared blocks', async (t) => {
  const { scheduler, pool, check } = await busy()
  t.doesNotThrow(check)
  t.equal(scheduler.running[0].blocks[0], scheduler.running[1].blocks[0])
  t.equal(pool.blocks.references[scheduler.running[0].blocks[0]], 2)
})

const damages: [string, RegExp, (engine: Awaited<ReturnType<typeof busy>>) => void][] = [
  [
    'a block twice in a table',
    /a names a block twice/,
    ({ scheduler: { running } }) => running[0].blocks.push(running[0].blocks[0]),
  ],
  [
    'computed beyond the blocks',
    /more tokens computed than blocks/,
    ({ scheduler: { running } }) => {
      running[0].computed = 99
    },
  ],
  [
    'nothing left to compute',
    /nothing to compute/,
    ({ scheduler: { running } }) => {
      running[0].computed = running[0].tokens.length
    },
  ],
  [
    'a waiting sequence with a block',
    /waits holds blocks|waits and holds blocks/,
    ({ scheduler }) => scheduler.waiting.first(1)[0].blocks.push(1),
  ],
  [
    'one that waits and is held back',
    /waits and is held back/,
    ({ scheduler }) => {
      scheduler.waiting.first(1)[0].heldFor = 1
    },
  ],
  [
    'one held back for ever',
    /b is held back for too long/,
    ({ scheduler: { running } }) => {
      running[1].computed = 8
      running[1].heldFor = HOLD_LIMIT + 1
    },
  ],
  [
    'one held back in the midst of its tokens',
    /b is held back although it has begun/,
    ({ scheduler: { running } }) => {
      running[1].heldFor = 1
    },
  ],
  [
    'a queue that has lost one',
    /holds more or fewer than it counts/,
    ({ scheduler }) => {
      const [chunk] = (scheduler.waiting as unknown as { chunks: unknown[][] }).chunks
      chunk.pop()
    },
  ],
  [
    'one that runs and is out of order',
    /b is out of order|a is out of order/,
    ({ scheduler: { running } }) => void running.reverse(),
  ],
  [
    'one that runs and has ended',
    /a runs and is marked as ended/,
    ({ scheduler: { running } }) => {
      running[0].state = 'ended'
    },
  ],
  [
    'one that waits and is taken for admitted',
    /waits and is marked as running/,
    ({ scheduler }) => {
      scheduler.waiting.first(1)[0].state = 'running'
    },
  ],
  [
    'idle blocks miscounted',
    /idle adapters have 0 whole blocks and are counted with 2/,
    ({ pool }) => {
      pool.adapters.idleWholeBlocks += 2
    },
  ],
  ['a lost adapter reference', /wrong reference count/, ({ resident }) => void resident.references--],
  [
    'a lost adapter',
    /used and not resident/,
    ({ pool, resident }) => {
      resident.references = 0
      pool.adapters.frames.rest(resident)
      pool.adapters.evict(resident)
    },
  ],
  [
    'a block of two owners',
    /an adapter's in one place/,
    ({ scheduler, resident }) => void resident.blocks.splice(1, 1, scheduler.running[0].blocks[0]),
  ],
  [
    'a frame of two owners',
    /frame \d+ belongs to two adapters/,
    ({ resident, neighbour }) => void resident.frames.splice(0, 1, neighbour.frames[0]),
  ],
  ['a frame that is missing', /has more or less than its image takes/, ({ resident }) => void resident.frames.pop()],
  [
    'a frame that nobody has taken',
    /is x's and not taken/,
    ({ resident, pool }) => void resident.frames.splice(0, 1, 8 * (pool.blocks.count - 1)),
  ],
  [
    'a frame miscounted by block',
    /x has frames in one place/,
    ({ resident }) => {
      resident.pieces[0].count--
    },
  ],
  [
    'a block that counts as idle while one in it is in use',
    /0 frames of block \d+ are counted|3 frames of block \d+ are in use and 0/,
    ({ pool, resident }) => pool.adapters.frames.rest(resident),
  ],
  [
    'a frame that was let go',
    /is x's and not taken|frames of block \d+ are taken/,
    ({ pool, resident }) => {
      pool.adapters.frames.rest(resident)
      pool.adapters.frames.leave(resident)
    },
  ],
  [
    'frames that nobody has',
    /frames of block \d+ are taken and \d+ are counted|is cut into frames and holds nothing/,
    ({ pool }) => pool.adapters.frames.enter({ frames: [], pieces: [] }, [{ block: -1, count: 2 }]),
  ],
  [
    'a block that is cut up and whole',
    /is an adapter's in one place|is cut into frames in one place/,
    ({ pool, resident }) => {
      pool.blocks.owner[resident.pieces[0].block] = ADAPTER
    },
  ],
  ['a leaked block', /has 1 references and 0 users/, ({ pool }) => void pool.allocateKv(1)],
  [
    'a block freed under a sequence',
    /is free in one place/,
    ({ pool, scheduler }) => {
      pool.blocks.owner[scheduler.running[0].blocks[0]] = FREE
    },
  ],
  [
    'a reference too few on a shared block',
    /has 1 references and 2 users/,
    ({ pool, scheduler }) => {
      pool.blocks.references[scheduler.running[0].blocks[0]] = 1
    },
  ],
  [
    'a block with no reference that is not cached',
    /neither used nor cached/,
    ({ pool }) => {
      const [block] = pool.allocateKv(1) ?? []
      pool.blocks.references[block] = 0
    },
  ],
]
for (const [what, message, damage] of damages)
  t.test(what, async (t) => {
    const engine = await busy()
    damage(engine)
    t.throws(engine.check, message)
  })
