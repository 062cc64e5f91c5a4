/**
 * The waiting sequences by flow: the flow that has been served least is next, and within it the order of service. Of flows that have been served alike those that have had nothing since they came are first, the
 * earliest before the others: a newcomer starts at the least counter of those that are served, which is a flood's if it is alone, and would wait until the flood has had more; and newcomers, however many
 * come, start alike, so that one that went before an earlier one would keep it waiting for ever. They start below whoever has been served, too: so one of PATIENCE admissions goes to whoever has waited longest,
 * and nobody waits for more than so many times those who were there before.
 */
import { flowOf } from './fairness.ts'
import { type Waiting, WaitingQueue } from './queue.ts'
import { comesBefore, type Sequence } from './sequence.ts'
import { type Counter, type ServiceCounters, WEIGHT } from './service.ts'

export const PATIENCE = 16

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
  private readonly patience: number
  private count = 0
  /** Since whoever had waited longest was admitted. */
  private admissions = 0

  /** `patience`: admissions of which one is whoever has waited longest. */
  constructor(counters: Pick<ServiceCounters, 'counterOf'>, patience = PATIENCE) {
    this.counters = counters
    this.patience = patience
  }

  get length(): number {
    return this.count
  }

  lists(): (readonly Sequence[])[] {
    return [...this.flows.values()].flatMap(({ queue }) => queue.lists())
  }

  /** The first `most` in the order in which they would be admitted by what was served if nothing else happened: each counts for its flow as if it had been. */
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

  next(costly: (sequence: Sequence) => boolean, promised = false): Sequence | undefined {
    // A place that somebody gave is for whom it was given, if that can be.
    if (this.admissions >= (promised ? 2 : 1) * this.patience) return this.earliest()
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
    if (this.admissions >= this.patience && sequence === this.earliest()) this.admissions = 0
    else this.admissions++
    this.flows.get(flowOf(sequence))?.queue.admit(sequence)
    this.settle(sequence)
  }

  private earliest(): Sequence | undefined {
    let earliest: Sequence | undefined
    for (const { queue } of this.flows.values()) {
      const head = queue.next(() => false)
      if (head && (!earliest || comesBefore(head, earliest))) earliest = head
    }
    return earliest
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
