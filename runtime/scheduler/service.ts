/**
 * Who has been served how much: virtual token counters (VTC; Sheng et al., "Fairness in Serving Large Language Models", OSDI 2024, algorithm 2; S-LoRA, section "fairness"). A flow is whoever service is
 * counted for: a tenant or an adapter. Among flows that always want more, service differs by no more than about one request each.
 */

/** What a token of a prompt and one of an answer count: an answer's takes a step of its own. Paper, section 4.1. */
export const WEIGHT = { input: 1, output: 2 }

/** Flows that are remembered although they want nothing now. */
const REMEMBERED = 4096

/** Of one flow. */
export interface Counter {
  served: number
  /** It wants something, and has had nothing since it came. */
  fresh: boolean
}

export class ServiceCounters {
  private readonly counters = new Map<string, Counter>()
  /** Sequences that wait or run, of flows that have some. */
  private readonly open = new Map<string, number>()
  /** Of the flow that was the last to have nothing open. */
  private last = 0

  of(flow: string): number {
    return this.counters.get(flow)?.served ?? 0
  }

  /** The flow's own, which is kept as long as it has something open. */
  counterOf(flow: string): Counter {
    const known = this.counters.get(flow)
    if (known) return known
    const made = { served: 0, fresh: false }
    this.counters.set(flow, made)
    return made
  }

  /** A sequence has come. A flow that had none starts at the least counter of those that have: what it did not ask for meanwhile is not owed to it. */
  enter(flow: string): void {
    const open = this.open.get(flow) ?? 0
    if (open === 0) {
      const counter = this.counterOf(flow)
      counter.served = Math.max(counter.served, this.least())
      counter.fresh = true
      if (this.counters.size > REMEMBERED + this.open.size) this.forget()
    }
    this.open.set(flow, open + 1)
  }

  /** A sequence has ended. */
  leave(flow: string): void {
    const open = (this.open.get(flow) ?? 0) - 1
    if (open > 0) this.open.set(flow, open)
    else {
      this.open.delete(flow)
      const counter = this.counterOf(flow)
      counter.fresh = false
      this.last = counter.served
    }
  }

  charge(flow: string, amount: number): void {
    const counter = this.counterOf(flow)
    counter.fresh = false
    counter.served += amount
  }

  /** The least counter of those that have something open. */
  private least(): number {
    let least = Number.POSITIVE_INFINITY
    for (const flow of this.open.keys()) least = Math.min(least, this.of(flow))
    return least === Number.POSITIVE_INFINITY ? this.last : least
  }

  /** Those that want nothing, the earliest first: most would start at the least counter anyway. */
  private forget(): void {
    for (const flow of this.counters.keys()) {
      if (this.counters.size <= REMEMBERED / 2 + this.open.size) return
      if (!this.open.has(flow)) this.counters.delete(flow)
    }
  }
}
