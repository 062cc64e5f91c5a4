/** Pool and queues at one moment, as plain data. It costs the same however many adapters and sequences there are. */
import type { Pool } from '../pool/pool.ts'
import type { Scheduler } from '../scheduler/scheduler.ts'
import type { EngineSnapshot, StepTimes } from '../types.ts'

type CoreCounters = Pick<
  EngineSnapshot['counters'],
  'promptTokens' | 'generationTokens' | 'cachedTokens' | 'steps' | 'failedSteps' | 'lateMasks'
>

export function takeSnapshot(scheduler: Scheduler, pool: Pool, counters: CoreCounters, lastStep: StepTimes): EngineSnapshot {
  // Who is held back waits like those in the queue, for bytes that are on their way; who has ended only waits for its last step.
  let held = 0
  let ended = 0
  for (const sequence of scheduler.running) {
    if (sequence.state === 'leaving') ended++
    else if (sequence.heldFor !== undefined) held++
  }
  const { count: total, free } = pool.blocks
  const { blocks: adapterBlocks, idleBlocks: idleAdapters } = pool.adapters
  const cachedPrefixes = pool.prefixes.idleBlocks
  return {
    step: pool.now,
    running: scheduler.running.length - held - ended,
    waiting: scheduler.waiting.length + held,
    blocks: {
      total,
      free,
      sequences: total - free - adapterBlocks - cachedPrefixes,
      adapters: adapterBlocks,
      idleAdapters,
      cachedPrefixes,
    },
    frames: { used: pool.adapters.frames.used, free: pool.adapters.frames.free },
    residentAdapters: pool.adapters.count,
    counters: {
      ...counters,
      ...(scheduler.speculation?.counters ?? NO_DRAFTS),
      prefixQueries: scheduler.admission.prefixQueries,
      prefixHits: scheduler.admission.prefixHits,
      preemptions: scheduler.preemptions,
      lateForRoom: scheduler.tooLate.room,
      lateForTime: scheduler.tooLate.time,
      adapterLoads: pool.adapters.loads,
      prefetchedLoads: pool.adapters.prefetched,
      adapterEvictions: pool.adapters.evictions,
      repackedEvictions: pool.adapters.repacked,
      removedEvictions: pool.adapters.removed,
      prefixEvictions: pool.prefixEvictions,
    },
    acceptedAt: scheduler.speculation?.acceptedAt ?? [],
    lastStep,
  }
}

const NO_DRAFTS = { drafts: 0, draftTokens: 0, acceptedTokens: 0 }
