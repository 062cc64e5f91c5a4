/** What must hold of pool and queues between any two steps. Tests run it after every step (EngineSettings.validate). */
import { ADAPTER, FREE, KV } from './pool/blocks.ts'
import type { Pool } from './pool/pool.ts'
import { HOLD_LIMIT } from './scheduler/arrivals.ts'
import type { Scheduler } from './scheduler/scheduler.ts'
import { comesBefore } from './scheduler/sequence.ts'

/** Throws an Error that names the first invariant broken. */
export function checkInvariants(scheduler: Scheduler, pool: Pool): void {
  const { blocks, prefixes, adapters } = pool
  const must = (ok: boolean, what: string) => {
    if (!ok) throw new Error(`invariant broken: ${what}`)
  }
  const users = new Int32Array(blocks.count)
  const adapterUsers = new Map<string, number>()
  for (const sequence of scheduler.running) {
    must(
      sequence.state === (sequence.inFlight > 0 && sequence.state === 'leaving' ? 'leaving' : 'running'),
      `${sequence.request.id} runs and is marked as ${sequence.state}`,
    )
    must(new Set(sequence.blocks).size === sequence.blocks.length, `${sequence.request.id} names a block twice`)
    must(
      sequence.computed <= sequence.blocks.length * pool.blockSize,
      `${sequence.request.id} has more tokens computed than blocks for them`,
    )
    must(sequence.computed < sequence.length || sequence.inFlight > 0, `${sequence.request.id} runs with nothing to compute`)
    must(sequence.pending <= sequence.inFlight, `${sequence.request.id} awaits tokens of no step`)
    if (sequence.heldFor !== undefined) {
      must(sequence.heldFor >= 1 && sequence.heldFor <= HOLD_LIMIT, `${sequence.request.id} is held back for too long`)
      must(
        sequence.computed === sequence.registered * pool.blockSize,
        `${sequence.request.id} is held back although it has begun`,
      )
    }
    for (const block of sequence.blocks) users[block]++
    for (const { digest } of sequence.uses) adapterUsers.set(digest, (adapterUsers.get(digest) ?? 0) + 1)
  }
  const lists = scheduler.waiting.lists()
  const waiting = lists.flat()
  must(waiting.length === scheduler.waiting.length, 'the queue holds more or fewer than it counts')
  for (const list of [scheduler.running, ...lists])
    for (let i = 1; i < list.length; i++) must(comesBefore(list[i - 1], list[i]), `${list[i].request.id} is out of order`)
  for (const sequence of waiting) {
    must(sequence.state === 'waiting', `${sequence.request.id} waits and is marked as ${sequence.state}`)
    must(sequence.blocks.length === 0 && sequence.computed === 0, `${sequence.request.id} waits and holds blocks`)
    must(sequence.heldFor === undefined, `${sequence.request.id} waits and is held back as if it were admitted`)
  }
  const ofAdapter = new Set<number>()
  let idleBlocks = 0
  for (const resident of adapters.all()) {
    must(
      resident.references === (adapterUsers.get(resident.image.digest) ?? 0),
      `adapter ${resident.image.name} has a wrong reference count`,
    )
    const idle = resident.references === 0
    must(
      adapters.isIdle(resident.image.digest) === idle,
      `adapter ${resident.image.name} is idle in one place and not in another`,
    )
    if (idle) idleBlocks += resident.blocks.length
    for (const block of resident.blocks) {
      must(!ofAdapter.has(block), `block ${block} belongs to two adapters`)
      ofAdapter.add(block)
    }
  }
  must(adapters.idleBlocks === idleBlocks, `idle adapters have ${idleBlocks} blocks and are counted with ${adapters.idleBlocks}`)
  for (const digest of adapterUsers.keys()) must(adapters.get(digest) !== undefined, `adapter ${digest} is used and not resident`)
  const free = new Set(blocks.freeBlocks())
  must(free.size === blocks.free, 'the free list names a block twice')
  for (let b = 0; b < blocks.count; b++) {
    must((blocks.owner[b] === FREE) === free.has(b), `block ${b} is free in one place and not in another`)
    must((blocks.owner[b] === ADAPTER) === ofAdapter.has(b), `block ${b} is an adapter's in one place and not in another`)
    must(blocks.references[b] === users[b], `block ${b} has ${blocks.references[b]} references and ${users[b]} users`)
    if (blocks.owner[b] === KV) must(users[b] > 0 !== prefixes.isIdle(b), `block ${b} is neither used nor cached, or both`)
    if (prefixes.isIdle(b)) must(prefixes.isRegistered(b), `block ${b} is cached under no hash`)
  }
}
