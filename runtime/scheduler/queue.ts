/** The waiting sequences in order of service, and who is admitted next. */
import { comesBefore, type Sequence } from './sequence.ts'

/** A sequence lets at most this many later ones go first; then it is next, whatever that costs. */
export const OVERTAKE_LIMIT = 16
/** How far behind the head a better-placed sequence is looked for. */
const LOOKAHEAD = 64

export class WaitingQueue {
  private readonly sequences: Sequence[] = []

  get length(): number {
    return this.sequences.length
  }

  all(): readonly Sequence[] {
    return this.sequences
  }

  /** Behind those that come before or at the same time: FCFS within a priority. A preempted sequence is older than those that wait, so it goes ahead. */
  push(sequence: Sequence): void {
    let at = this.sequences.length
    while (at > 0 && comesBefore(sequence, this.sequences[at - 1])) at--
    this.sequences.splice(at, 0, sequence)
  }

  remove(sequence: Sequence): boolean {
    const at = this.sequences.indexOf(sequence)
    if (at < 0) return false
    this.sequences.splice(at, 1)
    return true
  }

  /**
   * The next to admit: the head, unless it is `costly` now (its adapter must displace something) and one behind it is not; then that one, and the head has been
   * overtaken once more. Never past a head that has been overtaken OVERTAKE_LIMIT times, nor across priorities.
   */
  next(costly: (sequence: Sequence) => boolean): Sequence | undefined {
    const head = this.sequences[0]
    if (!head || head.overtaken >= OVERTAKE_LIMIT || !costly(head)) return head
    for (const candidate of this.sequences.slice(1, 1 + LOOKAHEAD)) {
      if (candidate.priority !== head.priority || candidate.overtaken >= OVERTAKE_LIMIT) return head
      if (!costly(candidate)) return candidate
    }
    return head
  }

  /** Takes `sequence` out, and notes whom it overtook. */
  admit(sequence: Sequence): void {
    const at = this.sequences.indexOf(sequence)
    for (let i = 0; i < at; i++) this.sequences[i].overtaken++
    this.sequences.splice(at, 1)
  }
}
