/** Low-rank factors as a method hands them over: computed floats, or the file's own bytes, which are decoded where they are used. */
import { AdapterError } from './errors.ts'
import { decodeFloats, elementBytes, largestMagnitude } from './half.ts'
import type { AdapterDtype } from './types.ts'
import { type PaddedRows, padded, type Workspace } from './wasm/workspace.ts'

/** ΔW = scale · Σ_j b_j a_jᵀ. Shape: a [rank, in]; b [rank, out], a column of B per row. */
export interface Factors {
  rank: number
  a: FactorRows
  b: FactorRows
  scale: number
}

/** Rows of a factor, one after the other. */
export type FactorRows = Float32Array | FileMatrix

/** A matrix as it lies in the file, so that no second copy of an adapter is held while it is folded. */
export interface FileMatrix {
  file: string
  key: string
  dtype: AdapterDtype
  bytes: Uint8Array
  /** The factor's rows are the columns of what lies there. */
  transposed: boolean
}

/** Both as they lie in the file: a [rank, in], b [out, rank]. */
export interface FileFactors extends Factors {
  a: FileMatrix
  b: FileMatrix
}

/** As floats. Shape: [rank, width]. */
export function floatsOf(rows: FactorRows, rank: number, width: number): Float32Array {
  if (rows instanceof Float32Array) return rows
  const values = new Float32Array(rank * width)
  decodeFloats(rows.dtype, rows.bytes, values)
  if (!Number.isFinite(largestMagnitude(values))) throw notFinite(rows)
  return rows.transposed ? transpose(values, width, rank) : values
}

/** The same in the workspace. What is not finite comes through as it is. */
export function placeRows(workspace: Workspace, rows: FactorRows, rank: number, width: number): PaddedRows {
  const placed = workspace.reserveRows(rank, width)
  const mark = workspace.mark()
  if (rows instanceof Float32Array) placeFloats(workspace, placed, rows)
  else if (rows.transposed) placeColumns(workspace, placed, rows)
  else decodeRows(workspace, placed, rows)
  workspace.release(mark)
  workspace.clearPadding(placed)
  return placed
}

function placeFloats(workspace: Workspace, placed: PaddedRows, values: Float32Array): void {
  const { rows, width, stride, address } = placed
  if (stride === width) workspace.floats(address, values.length).set(values)
  else for (let j = 0; j < rows; j++) workspace.row(placed, j).set(values.subarray(j * width, (j + 1) * width))
}

function placeColumns(workspace: Workspace, placed: PaddedRows, matrix: FileMatrix): void {
  const { rows, width } = placed
  const flat = workspace.reserveRows(1, rows * width)
  decodeRows(workspace, flat, matrix)
  if (rows % 4 === 0 && width % 4 === 0) {
    workspace.kernels.transpose(flat.address, placed.address, width, rows, placed.stride)
  } else {
    placeFloats(workspace, placed, transpose(workspace.row(flat, 0), width, rows))
  }
}

function decodeRows(workspace: Workspace, placed: PaddedRows, { dtype, bytes }: FileMatrix): void {
  const { width, stride, address } = placed
  if (dtype === 'float32' && stride === width) {
    workspace.bytes(address, bytes.length).set(bytes)
    return
  }
  const raw = workspace.reserve(rawBytes(placed, dtype))
  workspace.bytes(raw, bytes.length).set(bytes)
  decodePlaced(workspace, raw, dtype, placed)
}

/** Bytes that decodePlaced reads: the kernels take whole vectors, up to 7 elements past the last. */
export function rawBytes({ rows, width, stride }: PaddedRows, dtype: AdapterDtype): number {
  return elementBytes(dtype) * padded(rows * width + stride - width)
}

/** Rows that lie one after the other at `raw` in the workspace, as floats at their places; the padding is left undefined. */
export function decodePlaced(workspace: Workspace, raw: number, dtype: AdapterDtype, placed: PaddedRows): void {
  const { rows, width, stride, address } = placed
  const { decodeFloat16, decodeBfloat16 } = workspace.kernels
  const copy = (source: number, target: number, count: number) =>
    workspace.bytes(target, 4 * count).set(workspace.bytes(source, 4 * count))
  const decode = dtype === 'float16' ? decodeFloat16 : dtype === 'bfloat16' ? decodeBfloat16 : copy
  if (stride === width) decode(raw, address, rows * width)
  else for (let j = 0; j < rows; j++) decode(raw + elementBytes(dtype) * width * j, address + 4 * stride * j, stride)
}

export function notFinite({ file, key }: FileMatrix): AdapterError {
  return new AdapterError('adapter_tensor_invalid', `${file}: ${key} holds NaN or infinite values`)
}

/** Shape: [rows, columns] to [columns, rows]. */
export function transpose(values: Float32Array, rows: number, columns: number): Float32Array {
  const result = new Float32Array(values.length)
  const tile = 32 // both sides of a tile stay in the L1 cache
  for (let r0 = 0; r0 < rows; r0 += tile) {
    for (let c0 = 0; c0 < columns; c0 += tile) {
      const r1 = Math.min(rows, r0 + tile)
      const c1 = Math.min(columns, c0 + tile)
      for (let r = r0; r < r1; r++) for (let c = c0; c < c1; c++) result[c * rows + r] = values[r * columns + c]
    }
  }
  return result
}
