/**
 * DoRA (Liu et al., 2024). peft 0.21, tuners/lora/dora.py: W' = diag(m / ‖W + sBA‖) (W + sBA), norms of rows in the [out, in] sense; the
 * base's bias stays outside. For the embedding the norms run over the vocabulary, and W' has no canonical factors, so it is folded to rows.
 */
import type { BaseWeights } from '../base.ts'
import { AdapterError } from '../errors.ts'
import type { Factors, FileFactors } from '../factors.ts'
import { type Fold, multipliedOut, smallerOf } from '../fold.ts'
import type { RowNorms } from '../norms/norms.ts'
import type { Site } from '../types.ts'

/** The fold's outScale holds its values when `norms` have been computed. */
export function doraLinear(site: Site, factors: FileFactors, magnitude: Float32Array, norms: RowNorms): Fold {
  const outScale = new Float32Array(site.outFeatures)
  norms.ask(site, factors, (squares) => outScale.set(magnitude.map((m, o) => ratio(site, m, squares[o]))))
  return { ...smallerOf(site, factors), outScale }
}

export function doraEmbedding(site: Site, factors: Factors, magnitude: Float32Array, base: BaseWeights): Fold {
  const delta = multipliedOut(site, factors)
  const table = base.rows(site.weight)
  const squares = new Float64Array(site.outFeatures)
  const row = new Float32Array(site.outFeatures)
  for (let t = 0; t < table.rows; t++) {
    delta.row(t, row)
    const weights = table.row(t)
    for (let d = 0; d < row.length; d++) squares[d] += (weights[d] + row[d]) ** 2
  }
  const scales = Float64Array.from(magnitude, (m, d) => ratio(site, m, squares[d]))
  return {
    dense: {
      count: delta.count,
      row(t, into) {
        delta.row(t, into)
        const weights = table.row(t)
        for (let d = 0; d < into.length; d++) into[d] = scales[d] * (weights[d] + into[d]) - weights[d]
      },
    },
  }
}

function ratio(site: Site, magnitude: number, square: number): number {
  const scale = magnitude / Math.sqrt(square)
  if (Number.isFinite(scale)) return scale
  throw new AdapterError(
    'adapter_tensor_invalid',
    `${site.module}: a row of W + BA has norm 0, so DoRA's scale of it is not a number`,
  )
}
