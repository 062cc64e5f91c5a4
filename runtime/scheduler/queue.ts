/** The waiting sequences in order of service, and who is admitted next. */
import { comesBefore, placeIn, type Sequence } from './sequence.ts'

/** A sequence lets at most this many later ones go first; then it is next, whatever that costs. */
export const OVERTAKE_LIMIT = 16
/** How far behind the head a better-placed sequence is looked for. */
const LOOKAHEAD = 64
/** Sequences in a chunk: moving half of them costs less than finding the place. */
const CHUNK = 512
/** Finding one costs as much as passing by so many. */
const PASS = 32

/** Those that wait, whatever decides who is next. */
export interface Waiting {
  readonly length: number
  /** All, in lists that are each in order of service. */
  lists(): (readonly Sequence[])[]
  /** The `most` that would be admitted first. */
  first(most: number): Sequence[]
  push(sequence: Sequence): void
  /** Lets one go whose state is 'ended'. */
  drop(sequence: Sequence): void
  /** The next to admit; one that is `costly` now may be passed by, within bounds. `promised`: for a place that somebody has given up. */
  next(costly: (sequence: Sequence) => boolean, promised?: boolean): Sequence | undefined
  /** Takes one out that `next` gave. */
  admit(sequence: Sequence): void
}

/**
 * A list of short sorted lists. The order of service is total and a sequence's place in it never changes, so its chunk and its place there are found by binary
 * search: coming and going cost O(log n) comparisons and a move within one chunk, whoever comes between whom. Who ends while it waits is only noted, and leaves
 * when the queue is next looked into: few one by one, many in one pass. One flat list took 1.4 s to lose 40,000 at once.
 */
export class WaitingQueue implements Waiting {
  /** None is empty. */
  private chunks: Sequence[][] = []
  /** Ended and still in a chunk; not counted. */
  private ended: Sequence[] = []
  private count = 0

  get length(): number {
    return this.count
  }

  all(): readonly Sequence[] {
    this.settle()
    return this.chunks.flat()
  }

  lists(): (readonly Sequence[])[] {
    return [this.all()]
  }

  /** The first `most`. */
  first(most: number): Sequence[] {
    this.settle()
    const first: Sequence[] = []
    for (const chunk of this.chunks) {
      if (first.length + chunk.length >= most) return first.concat(chunk.slice(0, most - first.length))
      for (const sequence of chunk) first.push(sequence)
    }
    return first
  }

  /** Behind those that are due before or at the same time: FCFS within a level of priority. A preempted sequence is older than those that wait, so it goes ahead. */
  push(sequence: Sequence): void {
    this.settle()
    const c = Math.min(this.chunkOf(sequence), Math.max(0, this.chunks.length - 1))
    this.chunks[c] ??= []
    const chunk = this.chunks[c]
    chunk.splice(placeIn(chunk, sequence), 0, sequence)
    if (chunk.length > CHUNK) this.chunks.splice(c + 1, 0, chunk.splice(CHUNK >> 1))
    this.count++
  }

  /** Lets one go whose state is 'ended'. */
  drop(sequence: Sequence): void {
    this.ended.push(sequence)
    this.count--
  }

  /** Takes one out that may come back. False when it is not in the queue. */
  remove(sequence: Sequence): boolean {
    this.settle()
    const found = this.cut(sequence)
    if (found) this.count--
    return found
  }

  private settle(): void {
    if (this.ended.length === 0) return
    if (this.ended.length * PASS < this.count) for (const sequence of this.ended) this.cut(sequence)
    else
      this.chunks = this.chunks
        .map((chunk) => chunk.filter((sequence) => sequence.state !== 'ended'))
        .filter((chunk) => chunk.length > 0)
    this.ended = []
  }

  private cut(sequence: Sequence): boolean {
    const c = this.chunkOf(sequence)
    const chunk = this.chunks[c] ?? []
    const at = placeIn(chunk, sequence)
    if (chunk[at] !== sequence) return false
    chunk.splice(at, 1)
    if (chunk.length === 0) this.chunks.splice(c, 1)
    return true
  }

  /**
   * The next to admit: the head, unless it is `costly` now (its adapter must displace something) and one behind it is not; then that one. Never past a head that
   * has been overtaken OVERTAKE_LIMIT times, nor past one of another level of priority.
   */
  next(costly: (sequence: Sequence) => boolean): Sequence | undefined {
    this.settle()
    const head = this.chunks[0]?.[0]
    if (!head || head.overtaken >= OVERTAKE_LIMIT || !costly(head)) return head
    for (const candidate of this.first(1 + LOOKAHEAD)) {
      if (candidate === head) continue
      if (candidate.level !== head.level || candidate.overtaken >= OVERTAKE_LIMIT) return head
      if (!costly(candidate)) return candidate
    }
    return head
  }

  /** Takes `sequence` out, and notes whom it overtook. */
  admit(sequence: Sequence): void {
    for (const before of this.first(1 + LOOKAHEAD)) {
      if (before === sequence) break
      before.overtaken++
    }
    this.remove(sequence)
  }

  /** The first chunk that ends with it or later. */
  private chunkOf(sequence: Sequence): number {
    let low = 0
    let high = this.chunks.length
    while (low < high) {
      const middle = (low + high) >> 1
      const chunk = this.chunks[middle]
      if (comesBefore(chunk[chunk.length - 1], sequence)) low = middle + 1
      else high = middle
    }
    return low
  }
}
