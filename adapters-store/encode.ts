/** Writes rows of factors and deltas in the pool's element type. */
import { balance } from './balance.ts'
import { AdapterError } from './errors.ts'
import { type FactorRows, type Factors, notFinite, placeRows } from './factors.ts'
import { type DenseRows, weightShape } from './fold.ts'
import { elementBytes, LARGEST } from './half.ts'
import type { AdapterDtype, Site } from './types.ts'
import { type PaddedRows, padded, type Workspace, workspace } from './wasm/workspace.ts'

/** Where row j goes. */
export type Target = (j: number) => Uint8Array

export function encodeFactors(site: Site, factors: Factors, dtype: AdapterDtype, targetA: Target, targetB: Target): void {
  const { rank, scale } = factors
  const space = workspace()
  space.reset()
  const a = placeRows(space, factors.a, rank, site.inFeatures)
  const b = placeRows(space, factors.b, rank, site.outFeatures)
  const scales = balance(site, largestOf(space, a, factors.a), largestOf(space, b, factors.b), scale, dtype)
  const staging = space.reserve(4 * Math.max(a.stride, b.stride))
  for (let j = 0; j < rank; j++) encodeRow(space, a, j, dtype, scales.a[j], staging, targetA(j))
  for (let j = 0; j < rank; j++) encodeRow(space, b, j, dtype, scales.b[j], staging, targetB(j))
}

/** Largest magnitude of each row. */
function largestOf(space: Workspace, placed: PaddedRows, source: FactorRows): Float64Array {
  const largest = Float64Array.from({ length: placed.rows }, (_, j) => space.largest(placed, j))
  if (!(source instanceof Float32Array) && !largest.every(Number.isFinite)) throw notFinite(source)
  return largest
}

export function encodeDense(site: Site, dense: DenseRows, dtype: AdapterDtype, target: Target): void {
  const { width } = weightShape(site)
  const space = workspace()
  space.reset()
  const placed = space.reserveRows(1, width)
  const staging = space.reserve(4 * padded(width))
  space.clearPadding(placed)
  const row = new Float32Array(width)
  for (let j = 0; j < dense.count; j++) {
    dense.row(j, row)
    space.row(placed, 0).set(row)
    requireInRange(site, space.largest(placed, 0), dtype)
    encodeRow(space, placed, 0, dtype, 1, staging, target(j))
  }
}

export function requireInRange(site: Site, largest: number, dtype: AdapterDtype): void {
  if (largest <= LARGEST[dtype]) return
  throw new AdapterError(
    'adapter_tensor_invalid',
    `${site.module}: folded, the adapter has values beyond ${dtype}; serve with --adapter-dtype ${dtype === 'float16' ? 'bfloat16' : 'float32'}`,
  )
}

function encodeRow(
  space: Workspace,
  { address, width, stride }: PaddedRows,
  j: number,
  dtype: AdapterDtype,
  factor: number,
  staging: number,
  target: Uint8Array,
): void {
  const { encodeFloat16, encodeBfloat16, encodeFloat32 } = space.kernels
  const encode = dtype === 'float16' ? encodeFloat16 : dtype === 'bfloat16' ? encodeBfloat16 : encodeFloat32
  encode(address + 4 * stride * j, staging, stride, factor)
  target.set(space.bytes(staging, width * elementBytes(dtype)))
}
