/**
 * Squared norms of the rows of W + s B A, for DoRA. Expanded, so that only W Aᵀ touches the base's weights, r products per weight:
 *     ‖w_o + s Σ_j b_j a_j‖² = ‖w_o‖² + 2 s Σ_j b_j (w_o · a_j) + s² Σ_j Σ_k b_j b_k (a_j · a_k)
 * The inner products are float32 sums of 1,024 terms, added up in float64: relative errors of some 1e-7 of the largest term. A row whose terms
 * cancel is computed once more as it is written on the left, in float64.
 */
import type { BaseWeights, RowReader } from '../base.ts'
import { decodePlaced, type FileFactors, notFinite, placeRows, rawBytes } from '../factors.ts'
import { addScaled } from '../fold.ts'
import { decodeFloats, elementBytes, largestMagnitude } from '../half.ts'
import { type PaddedRows, padded, type Workspace, workspace } from '../wasm/workspace.ts'

/** Plain data over shared memory, so that several threads can work on one. */
export interface NormTask {
  /** Checkpoint tensor of W. */
  weight: string
  inFeatures: number
  outFeatures: number
  factors: FileFactors
  /** a_j · a_k. Shape: [padded rank, padded rank]. */
  gram: Float64Array
  /** The result. Shape: [out]. */
  squares: Float64Array
}

/** Terms of a float32 sum. */
const TERMS = 1024
/** Base weights read at a time. */
const RUN_BYTES = 512 << 10
/** The result may be so much smaller than its terms before they count as cancelled. */
const CANCELLED = 1 / 16
/** Below this, float32 products may have been lost as subnormal. */
const SMALLEST = 1e-25

const quads = (rank: number) => 4 * Math.ceil(rank / 4)

export function normTask(weight: string, inFeatures: number, outFeatures: number, factors: FileFactors): NormTask {
  const space = workspace()
  space.reset()
  const a = placeA(space, factors, inFeatures)
  for (let j = 0; j < factors.rank; j++) if (!Number.isFinite(space.largest(a, j))) throw notFinite(factors.a)
  const rank = quads(factors.rank)
  const products = space.reserve(8 * rank * rank)
  multiply(space, a, rank, a, rank, products)
  const gram = shared(rank * rank)
  gram.set(space.doubles(products, rank * rank))
  return { weight, inFeatures, outFeatures, factors, gram, squares: shared(outFeatures) }
}

const shared = (length: number) => new Float64Array(new SharedArrayBuffer(8 * length))

/** Fills task.squares[first, last). */
export function squareNorms(task: NormTask, first: number, last: number, base: BaseWeights): void {
  const space = workspace()
  space.reset()
  const weights = base.rows(task.weight)
  const a = placeA(space, task.factors, task.inFeatures)
  const b = rowsOfB(task.factors, first, last)
  const rank = quads(task.factors.rank)
  const runRows = 2 * Math.max(1, Math.floor(RUN_BYTES / (2 * task.inFeatures * elementBytes(weights.dtype))))
  const w = space.reserveRows(runRows, task.inFeatures)
  const raw = space.reserve(rawBytes(w, weights.dtype))
  const products = space.reserve(8 * runRows * rank)
  for (let start = first; start < last; start += runRows) {
    const count = Math.min(runRows, last - start)
    readRun(space, weights, start, count, raw, w)
    multiply(space, w, 2 * Math.ceil(count / 2), a, rank, products)
    const inner = space.doubles(products, count * rank)
    for (let i = 0; i < count; i++) {
      const bRow = b.subarray((start - first + i) * task.factors.rank, (start - first + i + 1) * task.factors.rank)
      const square = expanded(task, squareOf(space, w, i), inner.subarray(i * rank, (i + 1) * rank), bRow)
      task.squares[start + i] = square ?? direct(task, space.row(w, i), a, bRow, space)
    }
  }
}

/** The rows of A, and zeros up to the next multiple of four. */
function placeA(space: Workspace, { a, rank }: FileFactors, inFeatures: number): PaddedRows {
  const placed = placeRows(space, a, rank, inFeatures)
  const missing = space.reserveRows(quads(rank) - rank, inFeatures)
  const end = missing.address + 4 * missing.rows * missing.stride
  const start = placed.address + 4 * placed.rows * placed.stride
  space.floats(start, (end - start) / 4).fill(0)
  return placed
}

/** Shape: [last - first, rank]. */
function rowsOfB({ b, rank }: FileFactors, first: number, last: number): Float32Array {
  const rowBytes = rank * elementBytes(b.dtype)
  const values = new Float32Array((last - first) * rank)
  decodeFloats(b.dtype, b.bytes.subarray(first * rowBytes, last * rowBytes), values)
  if (!Number.isFinite(largestMagnitude(values))) throw notFinite(b)
  return values
}

function readRun(space: Workspace, weights: RowReader, start: number, count: number, raw: number, w: PaddedRows): void {
  weights.read(start, space.bytes(raw, count * w.width * elementBytes(weights.dtype)))
  const run = { ...w, rows: count }
  decodePlaced(space, raw, weights.dtype, run)
  space.clearPadding(run)
}

/** products = left · rightᵀ. Shape: [rows, rank] float64. */
function multiply(space: Workspace, left: PaddedRows, rows: number, right: PaddedRows, rank: number, products: number): void {
  space.doubles(products, rows * rank).fill(0)
  const count = padded(left.width)
  for (let i = 0; i < count; i += TERMS) {
    const terms = Math.min(TERMS, count - i)
    const [x, y] = [left.address + 4 * i, right.address + 4 * i]
    space.kernels.products(x, left.stride, rows, y, right.stride, rank, terms, products)
  }
}

function squareOf({ kernels }: Workspace, { address, width, stride }: PaddedRows, row: number): number {
  const count = padded(width)
  let square = 0
  for (let i = 0; i < count; i += TERMS) square += kernels.square(address + 4 * (stride * row + i), Math.min(TERMS, count - i))
  return square
}

/** The right side of the formula; undefined where it cannot be trusted. */
function expanded(
  { gram, factors: { scale } }: NormTask,
  square: number,
  inner: Float64Array,
  b: Float32Array,
): number | undefined {
  let cross = 0
  let own = 0
  for (let j = 0; j < b.length; j++) {
    const bj = b[j]
    cross += bj * inner[j]
    const row = j * inner.length
    let half = 0
    for (let k = 0; k < j; k++) half += b[k] * gram[row + k]
    own += bj * (2 * half + bj * gram[row + j])
  }
  const terms = square + scale * scale * own
  const sum = terms + 2 * scale * cross
  return terms > SMALLEST && sum > CANCELLED * terms ? sum : undefined
}

function direct({ factors }: NormTask, w: Float32Array, a: PaddedRows, b: Float32Array, space: Workspace): number {
  const row = Float64Array.from(w)
  for (let j = 0; j < factors.rank; j++) addScaled(row, space.row(a, j), 0, factors.scale * b[j])
  return row.reduce((sum, value) => sum + value * value, 0)
}
