/** The base model's weights where they lie: handed to the addon, or read in runs of rows, while an adapter is folded. */
import { statSync } from 'node:fs'
import { basename } from 'node:path'
import type { FilePart, StoredParts } from '../native/types.ts'
import { type FoldMatrix, readRows, rowRange } from './arithmetic.ts'
import { systemReason } from './checkpoint/index.ts'
import { AdapterError } from './errors.ts'
import type { BaseModel, Site, TensorRef, TensorType } from './types.ts'

/** Floats read at a time: enough to make the call cheap, small enough for the cache. */
const RUN_FLOATS = 1 << 18

/** The rows that were read last, of whichever tensor: a fold uses one at a time. */
interface Run {
  of?: RowReader
  first: number
  values: Float32Array
}

/** Reads rows of one tensor; rows asked for in ascending order are read in runs. Rows behind its last are zeros: those of tokens that an adapter adds (resized.ts). */
export class RowReader {
  readonly rows: number
  readonly width: number
  readonly #matrix: FoldMatrix
  readonly #run: Run

  constructor(matrix: FoldMatrix, run: Run) {
    this.rows = matrix.rows
    this.width = matrix.columns
    this.#matrix = matrix
    this.#run = run
  }

  /** Row i as float32, valid until the next call of any reader. Shape [width]. */
  row(i: number): Float32Array {
    if (i >= this.rows) return new Float32Array(this.width)
    const run = this.#run
    if (run.of !== this || i < run.first || (i + 1 - run.first) * this.width > run.values.length) this.#read(i)
    const start = (i - run.first) * this.width
    return run.values.subarray(start, start + this.width)
  }

  #read(first: number): void {
    const count = Math.min(this.rows - first, Math.max(1, Math.floor(RUN_FLOATS / this.width)))
    const values = new Float32Array(count * this.width)
    readRows(rowRange(this.#matrix, first, count), values)
    Object.assign(this.#run, { of: this, first, values })
  }
}

export class BaseWeights {
  readonly model: BaseModel
  readonly #sites: Map<string, Site>
  readonly #run: Run = { first: 0, values: new Float32Array(0) }

  constructor(model: BaseModel) {
    this.model = model
    this.#sites = new Map(model.sites.map((site) => [site.module, site]))
  }

  site(module: string): Site | undefined {
    return this.#sites.get(module)
  }

  /** Checkpoint tensor `name`, at most two-dimensional; a vector is one row. Of one that is quantized its values. */
  matrix(name: string): FoldMatrix {
    const reference = this.model.tensors[name]
    if (reference?.stored) return storedMatrix(reference, reference.stored)
    const readable = reference && ['float32', 'float16', 'bfloat16'].includes(reference.dtype) && reference.shape.length <= 2
    if (!readable) {
      const found = reference ? `${reference.dtype} of shape [${reference.shape}]` : 'missing'
      throw new AdapterError(
        'adapter_base_mismatch',
        `the base model's ${name} is ${found}; a float matrix is needed to fold this adapter`,
      )
    }
    requireThere(reference)
    const [rows, columns] = reference.shape.length === 1 ? [1, reference.shape[0]] : reference.shape
    const { dtype, file, offset } = reference
    return { dtype: dtype as TensorType, rows, columns, data: { file, offset } }
  }

  rows(name: string): RowReader {
    return new RowReader(this.matrix(name), this.#run)
  }

  /** A site's bias, or undefined. Shape [out]. */
  bias(site: Site): Float32Array | undefined {
    return site.bias === undefined ? undefined : this.rows(site.bias).row(0).slice()
  }
}

function storedMatrix({ shape, file, offset, length }: TensorRef, stored: StoredParts): FoldMatrix {
  const codes = { file, offset, length }
  for (const part of [codes, stored.scales, stored.zeros, stored.order]) if (part) requireThere(part)
  return { dtype: 'float32', rows: shape[0], columns: shape[1], data: { codes, stored, row: 0 } }
}

/** The file is mapped for each use, so what has become of it since the start is asked here. */
function requireThere({ file, offset, length }: FilePart): void {
  let size: number
  try {
    size = statSync(file).size
  } catch (error) {
    throw gone(file, `cannot be opened: ${systemReason(error)}`)
  }
  if (size < offset + length) throw gone(file, 'ended early: it has changed since the start')
}

function gone(file: string, what: string): AdapterError {
  return new AdapterError('adapter_unreadable', `the base model's ${basename(file)} ${what}`, {
    detail: `the base model's ${file} ${what}`,
  })
}
