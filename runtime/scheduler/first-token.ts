/** When those that wait can expect their first tokens: by how fast others were admitted before them, and how long they took from there. */
import type { Sequence } from './sequence.ts'

/** Weight of a new measurement (S-LoRA smooths its rates with 0.7 and 0.3; appendix B). */
const NEW = 0.3
/** Milliseconds of waiting over which admissions are counted for one measurement. */
const WINDOW = 500

export class FirstTokens {
  /** Admissions a millisecond while somebody waited; undefined: not known yet. */
  private rate: number | undefined
  /** Milliseconds from admission to the first token. */
  private prefill: number | undefined
  private admissions = 0
  private waited = 0
  private last = 0
  /** Somebody has been waiting since the plan before. */
  private crowded = false
  private readonly admittedAt = new Map<Sequence, number>()

  /** Before a plan. While nobody waits, admissions say how fast requests come, not how fast they could be served. */
  begin(now: number): void {
    if (this.crowded) this.waited += now - this.last
    this.last = now
  }

  /** After a plan that has left so many waiting. */
  end(waiting: number): void {
    this.crowded = waiting > 0
    if (this.waited < WINDOW || this.admissions === 0) return
    const rate = this.admissions / this.waited
    this.rate = this.rate === undefined ? rate : (1 - NEW) * this.rate + NEW * rate
    this.waited = 0
    this.admissions = 0
  }

  admitted(sequence: Sequence, now: number): void {
    if (this.crowded) this.admissions++
    if (sequence.outputLength === 0) this.admittedAt.set(sequence, now)
  }

  /** Its answer has a token. */
  sampled(sequence: Sequence, now: number): void {
    const since = this.admittedAt.get(sequence)
    if (since === undefined) return
    this.admittedAt.delete(sequence)
    this.prefill = this.prefill === undefined ? now - since : (1 - NEW) * this.prefill + NEW * (now - since)
  }

  ended(sequence: Sequence): void {
    this.admittedAt.delete(sequence)
  }

  /** Milliseconds until the one with so many before it can expect its first token; 0 as long as nothing is known. */
  expected(before: number): number {
    if (this.rate === undefined) return this.prefill ?? 0
    // A window that goes on without anybody admitted tells of a rate that is no longer true.
    const rate = this.waited < WINDOW ? this.rate : Math.min(this.rate, (this.admissions + 1) / this.waited)
    return (before + 1) / rate + (this.prefill ?? 0)
  }

  /** Of those that wait, in order, whoever cannot have its first token in time, with the milliseconds that it could be expected after. Who goes makes way for those behind it; whoever has been admitted stays, also where it was put back before its first token. */
  late(waiting: readonly Sequence[], now: number): { sequence: Sequence; after: number }[] {
    const late: { sequence: Sequence; after: number }[] = []
    for (const [i, sequence] of waiting.entries()) {
      const { firstTokenMs, arrival } = sequence.request
      if (firstTokenMs === undefined || sequence.outputLength > 0 || sequence.preemptions > 0) continue
      const after = now - arrival + this.expected(i - late.length)
      if (after > firstTokenMs) late.push({ sequence, after })
    }
    return late
  }
}
