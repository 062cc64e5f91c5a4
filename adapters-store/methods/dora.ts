/**
 * DoRA (Liu et al., 2024). peft 0.21, tuners/lora/dora.py: W' = diag(m / ‖W + sBA‖) (W + sBA), norms of rows in the [out, in] sense; the
 * base's bias stays outside. For the embedding the norms run over the vocabulary, and W' has no canonical factors, so it is folded to rows.
 */
import type { BaseWeights } from '../base.ts'
import { AdapterError } from '../errors.ts'
import { type Factors, floatsOf } from '../factors.ts'
import { type Fold, multipliedOut, smallerOf } from '../fold.ts'
import type { Site } from '../types.ts'

export function doraLinear(site: Site, factors: Factors, magnitude: Float32Array, base: BaseWeights): Fold {
  const squares = squaredNorms(site, factors, base)
  return { ...smallerOf(site, factors), outScale: magnitude.map((m, o) => ratio(site, m, squares[o])) }
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

/**
 * ‖w_o + s Σ_j b_jo a_j‖² for every row o, expanded so that only W Aᵀ touches the base's weights: |w|² + 2s Σ b_j (w·a_j) + s² Σ b_j b_k (a_j·a_k).
 * In float64, where the expansion loses nothing that float32 weights have. Cost: r products per base weight.
 */
function squaredNorms(site: Site, factors: Factors, base: BaseWeights): Float64Array {
  const { inFeatures, outFeatures } = site
  const { rank, scale } = factors
  const a = floatsOf(factors.a, rank, inFeatures)
  const b = floatsOf(factors.b, rank, outFeatures)
  const wide = Float64Array.from(a) // converted once instead of once per row of W
  const rowsOfA = Array.from({ length: rank }, (_, j) => wide.subarray(j * inFeatures, (j + 1) * inFeatures))
  const gram = rowsOfA.map((left) => Float64Array.from(rowsOfA, (right) => dot(left, right)))
  const squares = new Float64Array(outFeatures)
  const weights = base.rows(site.weight)
  const row = new Float64Array(inFeatures)
  const products = new Float64Array(rank)
  for (let o = 0; o < outFeatures; o++) {
    row.set(weights.row(o))
    let square = dot(row, row)
    productsWith(row, wide, products)
    for (let j = 0; j < rank; j++) {
      const bj = scale * b[j * outFeatures + o]
      let inner = 2 * products[j]
      for (let k = 0; k < rank; k++) inner += scale * b[k * outFeatures + o] * gram[j][k]
      square += bj * inner
    }
    squares[o] = Math.max(0, square)
  }
  return squares
}

function dot(left: Float64Array, right: Float64Array): number {
  let sum = 0
  for (let i = 0; i < left.length; i++) sum += left[i] * right[i]
  return sum
}

/** products[j] = row · a_j; four rows at a time, so that each weight is loaded once for four products and the sums do not wait for each other. */
function productsWith(row: Float64Array, a: Float64Array, products: Float64Array): void {
  const n = row.length
  const rank = products.length
  let j = 0
  for (; j + 4 <= rank; j += 4) {
    const p0 = j * n
    const p1 = p0 + n
    const p2 = p1 + n
    const p3 = p2 + n
    let s0 = 0
    let s1 = 0
    let s2 = 0
    let s3 = 0
    for (let i = 0; i < n; i++) {
      const w = row[i]
      s0 += w * a[p0 + i]
      s1 += w * a[p1 + i]
      s2 += w * a[p2 + i]
      s3 += w * a[p3 + i]
    }
    products[j] = s0
    products[j + 1] = s1
    products[j + 2] = s2
    products[j + 3] = s3
  }
  for (; j < rank; j++) products[j] = dot(row, a.subarray(j * n, (j + 1) * n))
}
