/** An engine's core whose memory another hand gives out: who may be admitted is asked of a gate, beside the pool's own say. */
import type { NativeEngine } from '../../native/types.ts'
import { EngineCore } from '../../runtime/engine/core.ts'
import type { CoreSettings } from '../../runtime/engine/core-settings.ts'
import { WaitingQueue } from '../../runtime/scheduler/queue.ts'
import { Scheduler } from '../../runtime/scheduler/scheduler.ts'
import type { Sequence } from '../../runtime/scheduler/sequence.ts'

/** Memory that the product does not have. */
export interface Gate {
  /** Whether what it needs is there, or can be had by putting out what is idle. */
  fits(sequence: Sequence): boolean
  /** Whether something would be put out for it. */
  costly(sequence: Sequence): boolean
  enter(sequence: Sequence): void
  leave(sequence: Sequence): void
  /** Adapters that lie there. */
  readonly adapters: number
}

class GatedQueue extends WaitingQueue {
  private readonly gate: Gate
  private readonly held = new Set<Sequence>()

  constructor(gate: Gate) {
    super()
    this.gate = gate
  }

  /** As without a gate, but nobody goes where there is no memory for the next. */
  override next(costly: (sequence: Sequence) => boolean): Sequence | undefined {
    const next = super.next((sequence) => costly(sequence) || this.gate.costly(sequence))
    return next && this.gate.fits(next) ? next : undefined
  }

  override admit(sequence: Sequence): void {
    super.admit(sequence)
    this.gate.enter(sequence)
    this.held.add(sequence)
  }

  /** A preempted one comes back. */
  override push(sequence: Sequence): void {
    this.letGo(sequence)
    super.push(sequence)
  }

  letGo(sequence: Sequence): void {
    if (this.held.delete(sequence)) this.gate.leave(sequence)
  }
}

class GatedScheduler extends Scheduler {
  override readonly waiting: GatedQueue

  constructor(core: EngineCore, settings: CoreSettings, gate: Gate) {
    super(core.pool, settings, core.adapters.images)
    this.waiting = new GatedQueue(gate)
  }

  override finish(sequence: Sequence): void {
    super.finish(sequence)
    if (sequence.state === 'ended') this.waiting.letGo(sequence)
  }
}

export class GatedCore extends EngineCore {
  override readonly scheduler: Scheduler

  constructor(native: NativeEngine, settings: CoreSettings, gate: Gate) {
    super(
      native,
      settings,
      () => 0n,
      () => {},
    )
    this.scheduler = new GatedScheduler(this, settings, gate)
  }
}
