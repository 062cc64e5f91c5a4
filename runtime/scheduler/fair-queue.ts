/**
 * The waiting sequences by flow: the flow that has been served least is next, and within it the order of service. Of flows that have been served alike the one that began to wait last: a newcomer starts
 * at the least counter of those that are served, which is a flood's if it is alone, and would wait until the flood has had more.
 */
import { flowOf } from './fairness.ts'
import { type Waiting, WaitingQueue } from './queue.ts'
import type { Sequence } from './sequence.ts'
import { type ServiceCounters, WEIGHT } from './service.ts'

export class FairQueue implements Waiting {
  /** None is empty. */
  private readonly flows = new Map<string, WaitingQueue>()
  private readonly counters: Pick<ServiceCounters, 'of'>
  private count = 0

  constructor(counters: Pick<ServiceCounters, 'of'>) {
    this.counters = counters
  }

  get length(): number {
    return this.count
  }

  lists(): (readonly Sequence[])[] {
    return [...this.flows.values()].flatMap((queue) => queue.lists())
  }

  /** The first `most` in the order in which they would be admitted if nothing else happened: each counts for its flow as if it had been. */
  first(most: number): Sequence[] {
    let flows = [...this.flows].map(([flow, queue]) => ({ counter: this.counters.of(flow), queue })).reverse()
    // No more flows than sequences are asked for can have a part in it.
    if (flows.length > most) flows = flows.sort((a, b) => a.counter - b.counter).slice(0, most)
    const turns = flows.flatMap(({ counter, queue }) =>
      queue.first(most).map((sequence) => {
        const at = counter
        counter += WEIGHT.input * sequence.promptLength
        return { at, sequence }
      }),
    )
    // A flow's turns rise, and of equal ones the last flow's stays first: as `next` would take them.
    turns.sort((a, b) => a.at - b.at)
    return turns.slice(0, most).map(({ sequence }) => sequence)
  }

  push(sequence: Sequence): void {
    const flow = flowOf(sequence)
    const queue = this.flows.get(flow) ?? new WaitingQueue()
    this.flows.set(flow, queue)
    queue.push(sequence)
    this.count++
  }

  drop(sequence: Sequence): void {
    this.flows.get(flowOf(sequence))?.drop(sequence)
    this.settle(sequence)
  }

  next(costly: (sequence: Sequence) => boolean): Sequence | undefined {
    let least: WaitingQueue | undefined
    let counter = Number.POSITIVE_INFINITY
    for (const [flow, queue] of this.flows) {
      const served = this.counters.of(flow)
      if (served > counter) continue
      least = queue
      counter = served
    }
    return least?.next(costly)
  }

  admit(sequence: Sequence): void {
    this.flows.get(flowOf(sequence))?.admit(sequence)
    this.settle(sequence)
  }

  private settle(sequence: Sequence): void {
    const flow = flowOf(sequence)
    this.count--
    if (this.flows.get(flow)?.length === 0) this.flows.delete(flow)
  }
}
