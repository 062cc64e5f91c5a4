/**
 * The waiting sequences by flow: the flow that has been served least is next, and within it the order of service. Of flows that have been served alike those that have had nothing since they came are first, the
 * earliest before the others: a newcomer starts at the least counter of those that are served, which is a flood's if it is alone, and would wait until the flood has had more; and newcomers, however many
 * come, start alike, so that one that went before an earlier one would keep it waiting for ever.
 */
import { flowOf } from './fairness.ts'
import { type Waiting, WaitingQueue } from './queue.ts'
import type { Sequence } from './sequence.ts'
import { type Counter, type ServiceCounters, WEIGHT } from './service.ts'

/** More than ever wait. */
const MOST_FLOWS = 2 ** 32

/** So many beyond twice what is wanted are sorted at once. */
const CUT = 64

/** Of those that have been served the last comes first. */
const served = (i: number) => -i

interface Turn {
  /** What its flow will have been served by then. */
  at: number
  place: number
}

interface Flow {
  counter: Counter
  queue: WaitingQueue
}

const inTurn = (a: Turn, b: Turn) => (a.at === b.at ? a.place - b.place : a.at - b.at)

export class FairQueue implements Waiting {
  /** None is empty. */
  private readonly flows = new Map<string, Flow>()
  private readonly counters: Pick<ServiceCounters, 'counterOf'>
  private count = 0

  constructor(counters: Pick<ServiceCounters, 'counterOf'>) {
    this.counters = counters
  }

  get length(): number {
    return this.count
  }

  lists(): (readonly Sequence[])[] {
    return [...this.flows.values()].flatMap(({ queue }) => queue.lists())
  }

  /** The first `most` in the order in which they would be admitted if nothing else happened: each counts for its flow as if it had been. */
  first(most: number): Sequence[] {
    const turns = this.leading(most).flatMap(({ at, place, i, queue }) =>
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
    const known = this.flows.get(flow) ?? { counter: this.counters.counterOf(flow), queue: new WaitingQueue() }
    this.flows.set(flow, known)
    known.queue.push(sequence)
    this.count++
  }

  drop(sequence: Sequence): void {
    this.flows.get(flowOf(sequence))?.queue.drop(sequence)
    this.settle(sequence)
  }

  next(costly: (sequence: Sequence) => boolean): Sequence | undefined {
    let least: Flow | undefined
    for (const flow of this.flows.values()) {
      const behind = least ? flow.counter.served - least.counter.served : 0
      // Thousands may wait: no more is made of each than must be.
      if (behind > 0 || (behind === 0 && least?.counter.fresh)) continue
      least = flow
    }
    return least?.queue.next(costly)
  }

  admit(sequence: Sequence): void {
    this.flows.get(flowOf(sequence))?.queue.admit(sequence)
    this.settle(sequence)
  }

  /** The flows that can have a part in the first `most` sequences: no more of them than that. */
  private leading(most: number): (Turn & { i: number; queue: WaitingQueue })[] {
    const leading: (Turn & { i: number; queue: WaitingQueue })[] = []
    let last: Turn = { at: Number.POSITIVE_INFINITY, place: 0 }
    const cut = () => {
      leading.sort(inTurn)
      if (leading.length > most) leading.length = most
    }
    let i = 0
    for (const { counter, queue } of this.flows.values()) {
      const turn = { at: counter.served, place: counter.fresh ? i - MOST_FLOWS : served(i), i, queue }
      i++
      if (inTurn(turn, last) > 0) continue
      if (leading.push(turn) < 2 * most + CUT) continue
      cut()
      last = leading[most - 1] ?? last
    }
    cut()
    return leading
  }

  private settle(sequence: Sequence): void {
    const flow = flowOf(sequence)
    this.count--
    if (this.flows.get(flow)?.queue.length === 0) this.flows.delete(flow)
  }
}
