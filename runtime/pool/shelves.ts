/** What is idle, kept so that the least valuable is found among thousands: on a shelf with those that were used about as often, and there in order of last use. */
import type { Usage } from './eviction.ts'

/** Two shelves for each doubling of the count of uses: within one it differs by less than half. The last holds all beyond. */
export const SHELVES = 20

export function shelfOf(weight: number): number {
  return Math.max(0, Math.min(SHELVES - 1, Math.floor(2 * Math.log2(Math.max(weight, 1)))))
}

interface Place<T> {
  item: T
  lastUsed: number
  /** Rises: of two that were used in the same step the one that came first is first. */
  order: number
  shelf: number
  at: number
}

/**
 * Whatever falls with age and rises with use is smallest at the front of one of the shelves. Coming and going cost the logarithm of how many there are, and
 * the fronts as much as there are shelves.
 */
export class Shelves<T> {
  /** Binary heaps. */
  private readonly shelves: Place<T>[][] = Array.from({ length: SHELVES }, () => [])
  private readonly places = new Map<T, Place<T>>()
  private order = 0

  get size(): number {
    return this.places.size
  }

  has(item: T): boolean {
    return this.places.has(item)
  }

  all(): IterableIterator<T> {
    return this.places.keys()
  }

  put(item: T, { weight, lastUsed }: Usage): void {
    this.remove(item)
    const shelf = shelfOf(weight)
    const place = { item, lastUsed, order: this.order++, shelf, at: this.shelves[shelf].length }
    this.places.set(item, place)
    this.shelves[shelf].push(place)
    this.rise(place)
  }

  remove(item: T): void {
    const place = this.places.get(item)
    if (!place) return
    this.places.delete(item)
    const heap = this.shelves[place.shelf]
    const last = heap.pop() as Place<T>
    if (last === place) return
    heap[place.at] = last
    last.at = place.at
    this.rise(last)
    this.sink(last)
  }

  /** Of each shelf the one that was used longest ago, of those that are not `kept`. */
  *fronts(kept: (item: T) => boolean): Generator<T> {
    for (const heap of this.shelves) {
      const front = heap.length > 0 ? this.front(heap, 0, kept) : undefined
      if (front) yield front.item
    }
  }

  /** Below one that is kept all are later than it; below another nobody needs to be looked at. */
  private front(heap: Place<T>[], at: number, kept: (item: T) => boolean): Place<T> | undefined {
    if (at >= heap.length) return undefined
    if (!kept(heap[at].item)) return heap[at]
    const left = this.front(heap, 2 * at + 1, kept)
    const right = this.front(heap, 2 * at + 2, kept)
    if (!left || !right) return left ?? right
    return before(left, right) ? left : right
  }

  private rise(place: Place<T>): void {
    const heap = this.shelves[place.shelf]
    while (place.at > 0) {
      const above = heap[(place.at - 1) >> 1]
      if (!before(place, above)) return
      swap(heap, place, above)
    }
  }

  private sink(place: Place<T>): void {
    const heap = this.shelves[place.shelf]
    for (;;) {
      const left = heap[2 * place.at + 1]
      const right = heap[2 * place.at + 2]
      const below = right && before(right, left) ? right : left
      if (!below || !before(below, place)) return
      swap(heap, place, below)
    }
  }
}

function before(a: Place<unknown>, b: Place<unknown>): boolean {
  return a.lastUsed === b.lastUsed ? a.order < b.order : a.lastUsed < b.lastUsed
}

function swap<T>(heap: Place<T>[], a: Place<T>, b: Place<T>): void {
  heap[a.at] = b
  heap[b.at] = a
  const { at } = a
  a.at = b.at
  b.at = at
}
