/** Which idle thing leaves the pool when blocks are short: a pure function over adapters and cached prefixes alike. */

export interface Evictable {
  /** Step in which it was last used. */
  lastUsed: number
  /** Blocks that its going frees; a part of one where frames are wanted. */
  blocks: number
  /** Estimated milliseconds to bring it back: bytes to copy, or tokens to compute again. */
  restoreMs: number
}

/** Higher leaves earlier: long unused, and cheap to bring back for the room it gives. */
export function evictionScore(item: Evictable, now: number): number {
  return ((now - item.lastUsed + 1) * item.blocks) / Math.max(item.restoreMs, 1e-6)
}

/** True when `a` should leave before `b`. */
export function leavesBefore(a: Evictable, b: Evictable, now: number): boolean {
  return evictionScore(a, now) > evictionScore(b, now)
}
