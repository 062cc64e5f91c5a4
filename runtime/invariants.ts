/** What must hold of pool and queues between any two steps. Tests run it after every step (EngineSettings.validate). */
import { ADAPTER, FRAMED, FREE, KV } from './pool/blocks.ts'
import type { Tenant } from './pool/frames.ts'
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
    must(
      resident.blocks.length === resident.image.blocks && resident.frames.length === resident.image.frames,
      `adapter ${resident.image.name} has more or less than its image takes`,
    )
    for (const block of resident.blocks) {
      must(!ofAdapter.has(block), `block ${block} belongs to two adapters`)
      ofAdapter.add(block)
    }
  }
  must(
    adapters.idleWholeBlocks === idleBlocks,
    `idle adapters have ${idleBlocks} whole blocks and are counted with ${adapters.idleWholeBlocks}`,
  )
  const framed = checkFrames(pool, must)
  for (const digest of adapterUsers.keys()) must(adapters.get(digest) !== undefined, `adapter ${digest} is used and not resident`)
  const free = new Set(blocks.freeBlocks())
  must(free.size === blocks.free, 'the free list names a block twice')
  for (let b = 0; b < blocks.count; b++) {
    must((blocks.owner[b] === FREE) === free.has(b), `block ${b} is free in one place and not in another`)
    must((blocks.owner[b] === ADAPTER) === ofAdapter.has(b), `block ${b} is an adapter's in one place and not in another`)
    must((blocks.owner[b] === FRAMED) === framed.has(b), `block ${b} is cut into frames in one place and not in another`)
    must(blocks.references[b] === users[b], `block ${b} has ${blocks.references[b]} references and ${users[b]} users`)
    if (blocks.owner[b] === KV) must(users[b] > 0 !== prefixes.isIdle(b), `block ${b} is neither used nor cached, or both`)
    if (!prefixes.isIdle(b)) continue
    must(prefixes.isRegistered(b), `block ${b} is cached under no hash`)
    must(prefixes.isLeaf(b) !== prefixes.isFollowed(b), `block ${b} could leave before one that follows it, or not at all`)
  }
}

type Must = (ok: boolean, what: string) => void

/** Every frame has one owner, every framed block a taken frame, and all that is counted of them is what there is. Returns the framed blocks. */
function checkFrames({ adapters, blocks }: Pool, must: Must): Set<number> {
  const { frames } = adapters
  const { perBlock } = frames
  const owners = new Map<number, Tenant>()
  const used = new Map<number, number>()
  const busy = new Map<number, number>()
  for (const resident of adapters.all()) {
    const byBlock = new Map<number, number>()
    for (const frame of resident.frames) {
      must(!owners.has(frame), `frame ${frame} belongs to two adapters`)
      must(frames.isTaken(frame), `frame ${frame} is ${resident.image.name}'s and not taken`)
      owners.set(frame, resident)
      const block = Math.floor(frame / perBlock)
      byBlock.set(block, (byBlock.get(block) ?? 0) + 1)
    }
    must(
      byBlock.size === resident.pieces.length && resident.pieces.every(({ block, count }) => byBlock.get(block) === count),
      `adapter ${resident.image.name} has frames in one place and not in another`,
    )
    for (const [block, count] of byBlock) {
      used.set(block, (used.get(block) ?? 0) + count)
      if (resident.references > 0) busy.set(block, (busy.get(block) ?? 0) + count)
      must(frames.tenants(block).has(resident), `adapter ${resident.image.name} is not among those in block ${block}`)
    }
  }
  let spare = 0
  let idle = 0
  for (const [block, count] of used) {
    const ofBusy = busy.get(block) ?? 0
    must(frames.usedIn(block) === count, `${count} frames of block ${block} are taken and ${frames.usedIn(block)} are counted`)
    must(frames.busyIn(block) === ofBusy, `${ofBusy} frames of block ${block} are in use and ${frames.busyIn(block)} are counted`)
    must(frames.isIdle(block) === (ofBusy === 0), `block ${block} is idle in one place and not in another`)
    if (ofBusy > 0) spare += perBlock - ofBusy
    else idle++
  }
  const framed = new Set(frames.all())
  for (const block of framed) must(used.has(block), `block ${block} is cut into frames and holds nothing`)
  let taken = 0
  for (let frame = 0; frame < blocks.count * perBlock; frame++) if (frames.isTaken(frame)) taken++
  must(
    taken === owners.size && frames.used === owners.size,
    `${owners.size} frames have owners, ${taken} are taken and ${frames.used} counted`,
  )
  must(frames.blocks === used.size && frames.idleBlocks === idle, 'framed blocks are counted wrongly')
  must(frames.free === frames.blocks * perBlock - frames.used, `${frames.free} frames are counted as free`)
  must(frames.spare === spare, `${spare} frames could be had where others stay and ${frames.spare} are counted`)
  return framed
}
