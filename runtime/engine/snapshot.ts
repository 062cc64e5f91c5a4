/** Pool and queues at one moment, as plain data. */
import { ADAPTER, FREE } from '../pool/blocks.ts'
import type { Sequence } from '../scheduler/sequence.ts'
import type { EngineSnapshot } from '../types.ts'
import type { EngineCore } from './core.ts'

function adapterNames(sequences: Iterable<Sequence>, wanted: (digest: string) => boolean): string[] {
  const names = new Set<string>()
  for (const sequence of sequences) for (const use of sequence.request.adapters) if (wanted(use.digest)) names.add(use.name)
  return [...names]
}

export function takeSnapshot({ pool, scheduler, counters, lastStep }: EngineCore): EngineSnapshot {
  const resident = []
  let idleAdapters = 0
  for (const r of pool.adapters.all()) {
    if (r.references === 0) idleAdapters += r.blocks.length
    resident.push({
      name: r.image.name,
      digest: r.image.digest,
      generation: r.generation,
      blocks: r.blocks.length,
      references: r.references,
    })
  }
  let adapterBlocks = 0
  let free = 0
  for (const owner of pool.blocks.owner) {
    if (owner === ADAPTER) adapterBlocks++
    else if (owner === FREE) free++
  }
  // Who is held back waits like those in the queue, for bytes that are on their way.
  const batch = scheduler.running.filter((sequence) => sequence.heldFor === undefined)
  const waiting = [...scheduler.waiting.all(), ...scheduler.running.filter((sequence) => sequence.heldFor !== undefined)]
  const cachedPrefixes = pool.prefixes.idleBlocks
  const total = pool.blocks.count
  return {
    step: pool.now,
    running: batch.length,
    waiting: waiting.length,
    blocks: {
      total,
      free,
      sequences: total - free - adapterBlocks - cachedPrefixes,
      adapters: adapterBlocks,
      idleAdapters,
      cachedPrefixes,
    },
    resident,
    waitingAdapters: adapterNames(waiting, (digest) => !pool.adapters.ready(digest)),
    runningAdapters: adapterNames(batch, () => true),
    counters: {
      ...counters,
      prefixQueries: scheduler.admission.prefixQueries,
      prefixHits: scheduler.admission.prefixHits,
      preemptions: scheduler.preemptions,
      adapterLoads: pool.adapters.loads,
      adapterEvictions: pool.adapters.evictions,
      prefixEvictions: pool.prefixEvictions,
    },
    lastStep,
  }
}
