/** A thread's scratch memory for the kernels: rows of floats, each followed by zeros up to a multiple of 8 elements. */
import { instantiate, type Kernels } from './kernels.ts'

const PAGE = 65536
const VECTOR = 8
const ALIGNMENT = 64
/** A larger memory is given back when it is not in use. */
const KEPT_BYTES = 64 << 20

/** Rows of float32 in the workspace: row j starts at byte `address` + 4 · `stride` · j. */
export interface PaddedRows {
  address: number
  rows: number
  width: number
  /** Elements from row to row, a multiple of 8. */
  stride: number
}

export const padded = (width: number): number => Math.ceil(width / VECTOR) * VECTOR

export class Workspace {
  kernels: Kernels = instantiate()
  #used = 0

  /** Forgets all that was reserved. */
  reset(): void {
    if (this.kernels.memory.buffer.byteLength > KEPT_BYTES) this.kernels = instantiate()
    this.#used = 0
  }

  /** Address of `bytes` bytes (contents undefined) until the next reset. Detaches earlier views. */
  reserve(bytes: number): number {
    const address = this.#used
    this.#used = Math.ceil((address + bytes) / ALIGNMENT) * ALIGNMENT
    const missing = this.#used - this.kernels.memory.buffer.byteLength
    // By half as much again at least, so that the memory is not moved for every reservation.
    if (missing > 0) this.kernels.memory.grow(Math.ceil(Math.max(missing, this.#used / 2) / PAGE))
    return address
  }

  mark(): number {
    return this.#used
  }

  /** Forgets what was reserved since the mark. */
  release(mark: number): void {
    this.#used = mark
  }

  reserveRows(rows: number, width: number): PaddedRows {
    // Rows a multiple of 4 KB apart would share a few lines of the cache when they are written side by side (transpose).
    const stride = padded(width) % 1024 === 0 ? padded(width) + VECTOR : padded(width)
    return { address: this.reserve(4 * rows * stride), rows, width, stride }
  }

  /** Views are valid until something is reserved. */
  bytes(address: number, length: number): Uint8Array<ArrayBuffer> {
    return new Uint8Array(this.kernels.memory.buffer, address, length)
  }

  floats(address: number, length: number): Float32Array<ArrayBuffer> {
    return new Float32Array(this.kernels.memory.buffer, address, length)
  }

  doubles(address: number, length: number): Float64Array<ArrayBuffer> {
    return new Float64Array(this.kernels.memory.buffer, address, length)
  }

  row({ address, width, stride }: PaddedRows, j: number): Float32Array<ArrayBuffer> {
    return this.floats(address + 4 * stride * j, width)
  }

  /** Zeroes what lies behind each row. */
  clearPadding({ address, rows, width, stride }: PaddedRows): void {
    if (stride === width) return
    const floats = this.floats(address, rows * stride)
    for (let j = 0; j < rows; j++) floats.fill(0, j * stride + width, (j + 1) * stride)
  }

  /** Largest magnitude of a row; infinite if one of its values is infinite or no number. */
  largest({ address, stride }: PaddedRows, j: number): number {
    const bits = this.kernels.largest(address + 4 * stride * j, stride)
    return bits >= 0x7f800000 ? Number.POSITIVE_INFINITY : new Float32Array(Int32Array.of(bits).buffer)[0]
  }
}

let shared: Workspace | undefined

/** This thread's. Folding is synchronous, so one is enough. */
export function workspace(): Workspace {
  shared ??= new Workspace()
  return shared
}
