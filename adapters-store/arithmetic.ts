/** What the addon computes for folds (native/types.ts, FoldAddon), on as many threads as loading may take. */
import { availableParallelism } from 'node:os'
import { loadNative } from '../native/index.ts'
import type { FoldImage, FoldMatrix } from '../native/types.ts'

export type { FoldImage, FoldMatrix } from '../native/types.ts'

/** Beyond this an adapter more is memory and disk more than speed. */
export const LOADER_THREADS = Math.min(4, availableParallelism())

/** into += scale · left right. */
export function addProduct(into: Float32Array, left: FoldMatrix, right: FoldMatrix, scale: number): void {
  loadNative().fold.addProduct(into, left, right, scale, LOADER_THREADS)
}

/** into ⊙= left right. */
export function multiplyByProduct(into: Float32Array, left: FoldMatrix, right: FoldMatrix): void {
  loadNative().fold.multiplyByProduct(into, left, right, LOADER_THREADS)
}

/** into ⊙= by. */
export function multiplyElements(into: Float32Array, by: FoldMatrix): void {
  loadNative().fold.multiplyElements(into, by, LOADER_THREADS)
}

export function readRows(matrix: FoldMatrix, into: Float32Array): void {
  loadNative().fold.readRows(matrix, into, LOADER_THREADS)
}

/** Infinity if a value is infinite or no number. */
export function largest(matrix: FoldMatrix): number {
  return loadNative().fold.largest(matrix, LOADER_THREADS)
}

/** ‖w_o + scale Σ_j b_oj a_j‖² of every row. Shape: weight [out, in], a [rank, in], b [out, rank], result [out]. */
export function squareNorms(weight: FoldMatrix, a: FoldMatrix, b: FoldMatrix, scale: number): Float64Array {
  if (isStored(weight)) return squareNormsOfStored(weight, a, b, scale)
  return loadNative().fold.squareNorms(weight, a, b, scale, LOADER_THREADS)
}

/** Floats that a quantized weight becomes at a time. */
const FLOATS_AT_ONCE = 1 << 22

const isStored = ({ data }: FoldMatrix) => !ArrayBuffer.isView(data) && 'stored' in data

/** In runs of rows: all of a large weight as floats would be several times the checkpoint. */
function squareNormsOfStored(weight: FoldMatrix, a: FoldMatrix, b: FoldMatrix, scale: number): Float64Array {
  const squares = new Float64Array(weight.rows)
  const atOnce = Math.max(1, Math.floor(FLOATS_AT_ONCE / weight.columns))
  for (let first = 0; first < weight.rows; first += atOnce) {
    const count = Math.min(atOnce, weight.rows - first)
    const { squareNorms: of } = loadNative().fold
    squares.set(of(rowRange(weight, first, count), a, rowRange(b, first, count), scale, LOADER_THREADS), first)
  }
  return squares
}

/** Where rows are written: the image's `places` say where each of them begins. */
export function placeFactors(image: FoldImage, a: FoldMatrix, firstA: number, b: FoldMatrix, firstB: number, scale: number) {
  return loadNative().fold.placeFactors(image, a, firstA, b, firstB, scale, LOADER_THREADS)
}

/** Rows from the `first` on of the `count` that lie from image row `at` on. Returns the largest magnitude. */
export function placeRows(image: FoldImage, at: number, count: number, first: number, rows: FoldMatrix): number {
  return loadNative().fold.placeRows(image, at, count, first, rows, LOADER_THREADS)
}

/** Shape: [rows, columns]. */
export function floatMatrix(data: Float32Array, rows: number, columns: number): FoldMatrix {
  return { dtype: 'float32', rows, columns, data }
}

/** The same row again and again. Shape: [rows, row.length]. */
export function repeated(row: Float32Array, rows: number): FoldMatrix {
  return { dtype: 'float32', rows, columns: row.length, stride: 0, data: row }
}

export function transposed(matrix: FoldMatrix): FoldMatrix {
  return { ...matrix, rows: matrix.columns, columns: matrix.rows, transposed: !matrix.transposed }
}

/** Rows [first, first + count). */
export function rowRange(matrix: FoldMatrix, first: number, count: number): FoldMatrix {
  const { dtype, rows, columns, data } = matrix
  const stride = matrix.stride ?? (matrix.transposed ? rows : columns)
  const element = dtype === 'float32' ? 4 : 2
  const start = matrix.transposed ? first : first * stride
  if (data instanceof Float32Array) return { ...matrix, rows: count, stride, data: data.subarray(start) }
  if (data instanceof Uint8Array) return { ...matrix, rows: count, stride, data: data.subarray(element * start) }
  if ('stored' in data) return { ...matrix, rows: count, stride, data: { ...data, row: data.row + first } }
  return { ...matrix, rows: count, stride, data: { file: data.file, offset: data.offset + element * start } }
}
