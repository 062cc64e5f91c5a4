/**
 * The waiting sequences by flow: the flow that has been served least is next, and within it the order of service. Of flows that have been served alike those that have had nothing since they came are first, the
 * earliest before the others: a newcomer starts at the least counter of those that are served, which is a flood's if it is alone, and would wait until the flood has had more; and newcomers, however many
 * come, start alike, so that one that went before an earlier one would keep it waiting for ever.
 */
import { flowOf } from './fairness.ts'
import { type Waiting, WaitingQueue } from './queue.ts'
import type { Sequence } from './sequence.ts'
import { type ServiceCounters, WEIGHT } from './service.ts'

/** More than ever wait. */
const MOST_FLOWS = 2 ** 32

/** Of those that have been served the last comes first. */
const served = (i: number) => -i

interface Turn {
  /** What its flow will have been served by then. */
  at: number
  place: number
}

const inTurn = (a: Turn, b: Turn) => (a.at === b.at ? a.place - b.place : a.at - b.at)

export class FairQueue implements Waiting {
  /** None is empty. */
  private readonly flows = new Map<string, WaitingQueue>()
  private readonly counters: Pick<ServiceCounters, 'of' | 'isFresh'>
  private count = 0

  constructor(counters: Pick<ServiceCounters, 'of' | 'isFresh'>) {
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
    let flows = [...this.flows].map(([flow, queue], i) => ({
      at: this.counters.of(flow),
      place: this.placeOf(flow, i),
      i,
      queue,
    }))
    // No more flows than sequences are asked for can have a part in it.
    if (flows.length > most) flows = flows.sort(inTurn).slice(0, most)
    const turns = flows.flatMap(({ at, place, i, queue }) =>
      queue.first(most).map((sequence) => {
        const turn = { at, place, sequence }
        at += WEIGHT.input * sequence.promptLength
        place = served(i)
        return turn
      }),
    )
    turns.sort(inTurn)
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
    let first = { at: Number.POSITIVE_INFINITY, place: 0 }
    let i = 0
    for (const [flow, queue] of this.flows) {
      const turn = { at: this.counters.of(flow), place: this.placeOf(flow, i++) }
      if (inTurn(turn, first) > 0) continue
      least = queue
      first = turn
    }
    return least?.next(costly)
  }

  admit(sequence: Sequence): void {
    this.flows.get(flowOf(sequence))?.admit(sequence)
    this.settle(sequence)
  }

  /** Among flows that have been served alike; `i`: its place among those that wait, in the order in which they began to. */
  private placeOf(flow: string, i: number): number {
    return this.counters.isFresh(flow) ? i - MOST_FLOWS : served(i)
  }

  private settle(sequence: Sequence): void {
    const flow = flowOf(sequence)
    this.count--
    if (this.flows.get(flow)?.length === 0) this.flows.delete(flow)
  }
}
