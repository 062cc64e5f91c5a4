/** The base model's weights, read in runs of rows while an adapter is folded (DoRA, HiRA, IA3 on shared inputs, saved modules). */
import { closeSync, openSync, readSync } from 'node:fs'
import { AdapterError } from './errors.ts'
import { decodeFloats } from './half.ts'
import type { AdapterDtype, BaseModel, Site, TensorRef } from './types.ts'

/** Bytes read at a time: enough to make the system call cheap, small enough for the cache. */
const RUN_BYTES = 1 << 20

/** Reads rows of one tensor; rows asked for in ascending order cost one read per megabyte. */
export class RowReader {
  readonly rows: number
  readonly width: number
  readonly #reference: TensorRef
  readonly #descriptor: number
  readonly #runRows: number
  #run = new Float32Array(0)
  #bytes = new Uint8Array(0)
  #first = 0
  #count = 0

  constructor(reference: TensorRef, descriptor: number) {
    const [rows, width] = reference.shape.length === 1 ? [1, reference.shape[0]] : reference.shape
    this.rows = rows
    this.width = width
    this.#reference = reference
    this.#descriptor = descriptor
    const rowBytes = reference.length / rows
    this.#runRows = Math.max(1, Math.min(rows, Math.floor(RUN_BYTES / rowBytes)))
  }

  get dtype(): AdapterDtype {
    return this.#reference.dtype as AdapterDtype
  }

  /** Row i as float32, valid until the next call. Shape [width]. */
  row(i: number): Float32Array {
    if (i < this.#first || i >= this.#first + this.#count) this.#load(i)
    const start = (i - this.#first) * this.width
    return this.#run.subarray(start, start + this.width)
  }

  /** The bytes of as many rows as fill `into`, from row `first` on. */
  read(first: number, into: Uint8Array): void {
    const { file, offset, length } = this.#reference
    const start = offset + first * (length / this.rows)
    let done = 0
    while (done < into.length) {
      const got = readSync(this.#descriptor, into, done, into.length - done, start + done)
      if (got === 0)
        throw new AdapterError('adapter_unreadable', `the base model's ${file} ended early: it has changed since the start`)
      done += got
    }
  }

  #load(first: number): void {
    const rowBytes = this.#reference.length / this.rows
    if (this.#run.length === 0) {
      this.#bytes = new Uint8Array(this.#runRows * rowBytes)
      this.#run = new Float32Array(this.#runRows * this.width)
    }
    const count = Math.min(this.#runRows, this.rows - first)
    const bytes = this.#bytes.subarray(0, count * rowBytes)
    this.read(first, bytes)
    decodeFloats(this.dtype, bytes, this.#run.subarray(0, count * this.width))
    this.#first = first
    this.#count = count
  }
}

export class BaseWeights {
  readonly model: BaseModel
  readonly #sites: Map<string, Site>
  readonly #descriptors = new Map<string, number>()

  constructor(model: BaseModel) {
    this.model = model
    this.#sites = new Map(model.sites.map((site) => [site.module, site]))
  }

  site(module: string): Site | undefined {
    return this.#sites.get(module)
  }

  /** Reader of checkpoint tensor `name`, at most two-dimensional. Valid until close(). */
  rows(name: string): RowReader {
    const reference = this.model.tensors[name]
    const readable = reference && ['float32', 'float16', 'bfloat16'].includes(reference.dtype) && reference.shape.length <= 2
    if (!readable) {
      const found = reference ? `${reference.dtype} of shape [${reference.shape}]` : 'missing'
      throw new AdapterError(
        'adapter_base_mismatch',
        `the base model's ${name} is ${found}; a float matrix is needed to fold this adapter`,
      )
    }
    let descriptor = this.#descriptors.get(reference.file)
    if (descriptor === undefined) {
      try {
        descriptor = openSync(reference.file, 'r')
      } catch (error) {
        throw new AdapterError(
          'adapter_unreadable',
          `the base model's ${reference.file} cannot be opened: ${(error as Error).message}`,
        )
      }
      this.#descriptors.set(reference.file, descriptor)
    }
    return new RowReader(reference, descriptor)
  }

  /** A site's bias, or undefined. Shape [out]. */
  bias(site: Site): Float32Array | undefined {
    return site.bias === undefined ? undefined : this.rows(site.bias).row(0).slice()
  }

  close(): void {
    for (const descriptor of this.#descriptors.values()) closeSync(descriptor)
    this.#descriptors.clear()
  }
}
