/** Fair service (`--scheduling fair`): who is counted for what, and who gives way to a flow that is behind. */
import type { Sequence } from './sequence.ts'
import { ServiceCounters, WEIGHT } from './service.ts'

/** Tokens that a sequence computes at least before it gives way: what it was admitted for is not thrown away at once. */
export const LEAST_RUN = 16

export const flowOf = ({ request }: Sequence) => request.flow ?? ''

export class Fairness {
  readonly counters = new ServiceCounters()
  /** Prompts that have been counted: a sequence that was put back is not charged for computing again. */
  private readonly charged = new WeakSet<Sequence>()

  entered(sequence: Sequence): void {
    this.counters.enter(flowOf(sequence))
  }

  ended(sequence: Sequence): void {
    this.counters.leave(flowOf(sequence))
  }

  /** Its prompt counts at once, before any of it is computed: else one plan would admit all of a flow's. What was found in the cache was no work. */
  admitted(sequence: Sequence): void {
    if (this.charged.has(sequence)) return
    this.charged.add(sequence)
    this.counters.charge(flowOf(sequence), WEIGHT.input * Math.max(0, sequence.promptLength - sequence.computed))
  }

  sampled(sequence: Sequence): void {
    this.counters.charge(flowOf(sequence), WEIGHT.output)
  }

  /** Of those that run, in order of service, who is put back when room is short: of the flow furthest ahead the latest. Never the first of all, so that everything ends. */
  lastOf(running: readonly Sequence[]): Sequence {
    let last = running[running.length - 1]
    for (let i = running.length - 2; i > 0; i--)
      if (this.counters.of(flowOf(running[i])) > this.counters.of(flowOf(last))) last = running[i]
    return last
  }

  /**
   * Who of those that run gives way to `waiting`; undefined: nobody. A flow of which nothing runs takes one of several places of the flow furthest ahead, unless it is ahead itself. Beyond that the flow furthest
   * ahead must be so by more than `waiting` will be charged and a step of all is worth: flows that are even do not put each other out in turns, and rows move from one to the other only until they are.
   */
  yielding(waiting: Sequence, running: readonly Sequence[]): Sequence | undefined {
    if (running.length < 2) return undefined
    const [flow, own] = [flowOf(this.lastOf(running)), flowOf(waiting)]
    const ahead = this.counters.of(flow) - this.counters.of(own)
    const price = waiting.promptLength * WEIGHT.input + running.length * WEIGHT.output
    if (ahead < 0 || (ahead <= price && !(places(own, running) === 0 && places(flow, running) > 1))) return undefined
    for (let i = running.length - 1; i > 0; i--)
      if (flowOf(running[i]) === flow && running[i].computed - running[i].admittedAt >= LEAST_RUN) return running[i]
    return undefined
  }
}

const places = (flow: string, running: readonly Sequence[]) => running.filter((one) => flowOf(one) === flow).length
