/** Memory for images, which the CPU's kernels read where it is: the host tier's copy is the only one. */
import { loadNative } from '../native/index.ts'

/** A huge page of x86-64 and of arm64 with pages of 4 KiB. */
const HUGE_PAGE = 2 ** 21

// In ES2024's library, which TypeScript's target here does not have yet; Node 20 has it.
const Growable = SharedArrayBuffer as new (bytes: number, options: { maxByteLength: number }) => SharedArrayBuffer

/**
 * Zeroed. V8 maps a buffer that may grow on its own pages, where others begin 16 bytes behind a page's start, so that every vector of a rank row would cross a cache line; and it
 * goes back to the system when it is let go. Small images stay in the heap. Throws a RangeError when there is not so much memory.
 */
export function imageMemory(bytes: number): SharedArrayBuffer {
  if (bytes < HUGE_PAGE) return new SharedArrayBuffer(bytes)
  const memory = new Growable(bytes, { maxByteLength: bytes })
  loadNative().preferHugePages(new Uint8Array(memory))
  return memory
}
