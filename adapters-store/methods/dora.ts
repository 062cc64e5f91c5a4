/**
 * DoRA (Liu et al., 2024). peft 0.21, tuners/lora/dora.py: W' = diag(m / ‖W + sBA‖) (W + sBA), norms of rows in the [out, in] sense; the
 * base's bias stays outside. For the embedding the norms run over the vocabulary, and W' has no canonical factors, so it is folded to rows.
 */
import { squareNorms, transposed } from '../arithmetic.ts'
import type { BaseWeights } from '../base.ts'
import { AdapterError } from '../errors.ts'
import { type Factors, type FileFactors, type Fold, matrixOf, multipliedOut, requireFinite, smallerOf } from '../fold.ts'
import type { Site } from '../types.ts'

/** Rows of the table at a time. */
const BLOCK_ROWS = 256

export function doraLinear(site: Site, factors: FileFactors, magnitude: Float32Array, base: BaseWeights): Fold {
  const { rank, scale } = factors
  requireFinite(factors.a, rank, site.inFeatures)
  requireFinite(factors.b, rank, site.outFeatures)
  const a = matrixOf(factors.a, rank, site.inFeatures)
  const b = transposed(matrixOf(factors.b, rank, site.outFeatures))
  const squares = squareNorms(base.matrix(site.weight), a, b, scale)
  return { ...smallerOf(site, factors), outScale: magnitude.map((m, o) => ratio(site, m, squares[o])) }
}

export function doraEmbedding(site: Site, factors: Factors, magnitude: Float32Array, base: BaseWeights): Fold {
  const width = site.outFeatures
  const delta = multipliedOut(site, factors)
  const table = base.rows(site.weight)
  const squares = new Float64Array(width)
  for (let first = 0; first < delta.count; first += BLOCK_ROWS) {
    const rows = new Float32Array(Math.min(BLOCK_ROWS, delta.count - first) * width)
    delta.rows(first, rows)
    for (let at = 0; at < rows.length; at += width) {
      const weights = table.row(first + at / width)
      for (let d = 0; d < width; d++) squares[d] += (weights[d] + rows[at + d]) ** 2
    }
  }
  const scales = Float64Array.from(magnitude, (m, d) => ratio(site, m, squares[d]))
  return {
    dense: {
      count: delta.count,
      rows(first, into) {
        delta.rows(first, into)
        for (let at = 0; at < into.length; at += width) {
          const weights = table.row(first + at / width)
          for (let d = 0; d < width; d++) into[at + d] = scales[d] * (weights[d] + into[at + d]) - weights[d]
        }
      },
    },
  }
}

/** What the others make, in shape: the norms are those of the whole base, and are not needed to know how large it is. */
export function doraUnread(site: Site, factors: FileFactors, magnitude: Float32Array): Fold {
  if (site.kind === 'embedding') return { dense: multipliedOut(site, factors) }
  return { ...smallerOf(site, factors), outScale: magnitude }
}

function ratio(site: Site, magnitude: number, square: number): number {
  const scale = magnitude / Math.sqrt(square)
  if (Number.isFinite(scale)) return scale
  throw new AdapterError(
    'adapter_tensor_invalid',
    `${site.module}: a row of W + BA has norm 0, so DoRA's scale of it is not a number`,
  )
}
