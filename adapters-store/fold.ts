/** What a method makes of one site: the canonical delta before it is packed. */
import { addProduct, type FoldMatrix, floatMatrix, largest, readRows, rowRange, transposed } from './arithmetic.ts'
import { AdapterError } from './errors.ts'
import type { Site, TensorType } from './types.ts'

/** ΔW = scale · Σ_j b_j a_jᵀ. Shape: a [rank, in]; b [rank, out], a column of B per row. */
export interface Factors {
  rank: number
  a: FactorRows
  b: FactorRows
  scale: number
}

/**
 * Rows of a factor, one after the other; as columns of a matrix [width, rank]; as the file has them; or what makes them when they are written, so that factors larger
 * than their file are never held for all sites at once.
 */
export type FactorRows = Float32Array | { columns: Float32Array } | FileMatrix | (() => Float32Array | { columns: Float32Array })

/** A matrix as it lies in the file, so that no second copy of an adapter is held while it is folded. */
export interface FileMatrix {
  file: string
  key: string
  dtype: TensorType
  bytes: Uint8Array
  /** The factor's rows are the columns of what lies there. */
  transposed: boolean
  /** Elements from row to row of what lies there, if more than are used. */
  stride?: number
  /** The file's values were not read (plan.ts): nothing is to be found in them. */
  unread?: true
}

/** Both as they lie in the file: a [rank, in], b [out, rank]. */
export interface FileFactors extends Factors {
  a: FileMatrix
  b: FileMatrix
}

/** Shape: [rank, width]. */
export function matrixOf(rows: FactorRows, rank: number, width: number): FoldMatrix {
  if (typeof rows === 'function') return matrixOf(rows(), rank, width)
  if (rows instanceof Float32Array) return floatMatrix(rows, rank, width)
  if ('columns' in rows) return transposed(floatMatrix(rows.columns, width, rank))
  const { dtype, bytes, transposed: asColumns, stride } = rows
  return { dtype, rows: rank, columns: width, transposed: asColumns, stride, data: bytes }
}

/** As floats. Shape: [rank, width]. */
export function valuesOf(rows: FactorRows, rank: number, width: number): Float32Array {
  const values = new Float32Array(rank * width)
  readRows(matrixOf(rows, rank, width), values)
  return values
}

/** Throws, naming file and key, if what the file has there is not finite. Shape: [rank, width]. */
export function requireFinite(rows: FactorRows, rank: number, width: number): void {
  if (!('key' in rows) || rows.unread || Number.isFinite(largest(matrixOf(rows, rank, width)))) return
  throw new AdapterError('adapter_tensor_invalid', `${rows.file}: ${rows.key} holds NaN or infinite values`)
}

/**
 * Whole rows of ΔW, made when they are packed so that a saved head of gigabytes is never held twice. Rows are those of the checkpoint tensor:
 * outputs of a linear site or the head, tokens of the embedding.
 */
export interface DenseRows {
  count: number
  /** Which rows, ascending; absent: all. Shape [count]. */
  index?: Int32Array
  /** Terms of the product behind each element; absent: few. */
  depth?: number
  /** Writes ΔW's rows index[j] (or j) from j = first on, as many as `into` holds, which comes zeroed. Shape: into [n, width]. */
  rows(first: number, into: Float32Array): void
}

/** Rows that are made one by one. */
export function oneByOne(width: number, row: (j: number, into: Float32Array) => void): DenseRows['rows'] {
  return (first, into) => {
    for (let at = 0; at < into.length; at += width) row(first + at / width, into.subarray(at, at + width))
  }
}

/** Factors, rows or neither, and any of the vectors (design 7). */
export interface Fold {
  factors?: Factors
  dense?: DenseRows
  /** Shape [out]. */
  outScale?: Float32Array
  /** outScale multiplies the base's bias too (IA3); otherwise the bias stays outside (DoRA). */
  scalesBias?: boolean
  /** Added to the output, beside what becomes of the base's bias. Shape [out]. */
  bias?: Float32Array
  /** Shape [in]. */
  inScale?: Float32Array
}

/** Rows and columns of the checkpoint tensor of a site's weight. */
export function weightShape(site: Site): { rows: number; width: number } {
  return site.kind === 'embedding'
    ? { rows: site.inFeatures, width: site.outFeatures }
    : { rows: site.outFeatures, width: site.inFeatures }
}

/** Factors as they are, or multiplied out where whole rows take fewer bytes (and so less time: both are read once per token). */
export function smallerOf(site: Site, factors: Factors): Fold {
  const { inFeatures, outFeatures } = site
  if (factors.rank * (inFeatures + outFeatures) <= inFeatures * outFeatures) return { factors }
  return { dense: multipliedOut(site, factors) }
}

/** The product as rows of the checkpoint tensor's layout. */
export function multipliedOut(site: Site, factors: Factors): DenseRows {
  const { rank, scale } = factors
  const { rows, width } = weightShape(site)
  requireFinite(factors.a, rank, site.inFeatures)
  requireFinite(factors.b, rank, site.outFeatures)
  /** Made for the first row, dropped after the last. */
  let sides: { left: FoldMatrix; right: FoldMatrix } | undefined
  return {
    count: rows,
    depth: rank,
    rows(first, into) {
      sides ??= sidesOf(site, factors)
      const count = into.length / width
      addProduct(into, rowRange(sides.left, first, count), sides.right, scale)
      if (first + count === rows) sides = undefined
    },
  }
}

/** ΔW of a linear site is Bᵀ A with the rows of Factors; of the table, which is stored [tokens, hidden], Aᵀ B. */
function sidesOf(site: Site, factors: Factors) {
  const a = matrixOf(factors.a, factors.rank, site.inFeatures)
  const b = matrixOf(factors.b, factors.rank, site.outFeatures)
  return site.kind === 'embedding' ? { left: transposed(a), right: b } : { left: transposed(b), right: a }
}

/** A site's fold and what is to be said of it in errors. */
export interface SiteFold extends Fold {
  site: Site
}

export function combinationRefused(site: Site, one: string, other: string): AdapterError {
  return new AdapterError(
    'adapter_option_unsupported',
    `${site.module} has both ${one} and ${other}; this server applies one of them per module. Merge one into the base model, or train them apart`,
  )
}
