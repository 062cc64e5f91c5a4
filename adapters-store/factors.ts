/** Low-rank factors as a method hands them over: computed floats, or the file's own bytes, which are converted where they are used. */
import { type FoldMatrix, floatMatrix, largest, transposed } from './arithmetic.ts'
import { AdapterError } from './errors.ts'
import type { AdapterDtype } from './types.ts'

/** ΔW = scale · Σ_j b_j a_jᵀ. Shape: a [rank, in]; b [rank, out], a column of B per row. */
export interface Factors {
  rank: number
  a: FactorRows
  b: FactorRows
  scale: number
}

/** Rows of a factor, one after the other; as columns of a matrix [width, rank]; or as the file has them. */
export type FactorRows = Float32Array | { columns: Float32Array } | FileMatrix

/** A matrix as it lies in the file, so that no second copy of an adapter is held while it is folded. */
export interface FileMatrix {
  file: string
  key: string
  dtype: AdapterDtype
  bytes: Uint8Array
  /** The factor's rows are the columns of what lies there. */
  transposed: boolean
  /** Elements from row to row of what lies there, if more than are used. */
  stride?: number
}

/** Both as they lie in the file: a [rank, in], b [out, rank]. */
export interface FileFactors extends Factors {
  a: FileMatrix
  b: FileMatrix
}

/** Shape: [rank, width]. */
export function matrixOf(rows: FactorRows, rank: number, width: number): FoldMatrix {
  if (rows instanceof Float32Array) return floatMatrix(rows, rank, width)
  if ('columns' in rows) return transposed(floatMatrix(rows.columns, width, rank))
  const { dtype, bytes, transposed: asColumns, stride } = rows
  return { dtype, rows: rank, columns: width, transposed: asColumns, stride, data: bytes }
}

/** Throws, naming file and key, if what the file has there is not finite. Shape: [rank, width]. */
export function requireFinite(rows: FactorRows, rank: number, width: number): void {
  if (!('key' in rows) || Number.isFinite(largest(matrixOf(rows, rank, width)))) return
  throw new AdapterError('adapter_tensor_invalid', `${rows.file}: ${rows.key} holds NaN or infinite values`)
}
