/**
 * LoHa (Hyeon-Woo et al., 2021). peft 0.21, tuners/loha/layer.py: ΔW = (alpha / r) (w1_a w1_b) ⊙ (w2_a w2_b). A Hadamard product of ranks r1 and
 * r2 has rank r1 r2: its rows of A are the products of rows of w1_b and w2_b, its columns of B those of columns of w1_a and w2_a.
 */
import { addProduct, floatMatrix, multiplyByProduct, rowRange } from '../arithmetic.ts'
import { ignored } from '../config.ts'
import type { DenseRows, Fold } from '../fold.ts'
import type { Site } from '../types.ts'
import { requireRank } from './lora.ts'
import type { Method } from './method.ts'

export const loha: Method = {
  peftType: 'LOHA',
  config: {
    r: ignored,
    alpha: ignored,
    rank_pattern: ignored,
    alpha_pattern: ignored,
    rank_dropout: ignored,
    module_dropout: ignored,
    use_effective_conv2d: ignored, // convolutions are in none of the supported models
    init_weights: ignored,
  },
  parameters: ['hada_w1_a', 'hada_w1_b', 'hada_w2_a', 'hada_w2_b'],
  sites: ['linear', 'head'],
  prepare({ config }) {
    return (tensors): Fold => {
      const { site } = tensors
      const { inFeatures, outFeatures } = site
      const [b1, b2] = ['hada_w1_b', 'hada_w2_b'].map((name) => tensors.take(name, [null, inFeatures]))
      const [r1, r2] = [b1.shape[0], b2.shape[0]]
      const a1 = tensors.take('hada_w1_a', [outFeatures, r1]).data
      const a2 = tensors.take('hada_w2_a', [outFeatures, r2]).data
      requireRank(config, r1, site.module)
      requireRank(config, r2, site.module)
      const scale = config.perModule('alpha', 8, 'alpha_pattern', site.module) / r1
      if (r1 * r2 * (inFeatures + outFeatures) > inFeatures * outFeatures) {
        return { dense: hadamardRows(site, a1, b1.data, a2, b2.data, scale) }
      }
      const a = () => rowProducts(b1.data, b2.data, r1, r2, inFeatures)
      const b = () => ({ columns: columnProducts(a1, a2, r1, r2, outFeatures) })
      return { factors: { rank: r1 * r2, a, b, scale } }
    }
  },
}

/** Row (i, j) is row i of x times row j of y. Shape: [r1, n], [r2, n] to [r1 r2, n]. */
function rowProducts(x: Float32Array, y: Float32Array, r1: number, r2: number, n: number): Float32Array {
  const rows = new Float32Array(r1 * r2 * n)
  for (let i = 0; i < r1; i++) {
    for (let j = 0; j < r2; j++) {
      const start = (i * r2 + j) * n
      for (let k = 0; k < n; k++) rows[start + k] = x[i * n + k] * y[j * n + k]
    }
  }
  return rows
}

/** Column (i, j) is column i of x times column j of y. Shape: [n, r1], [n, r2] to [n, r1 r2]. */
function columnProducts(x: Float32Array, y: Float32Array, r1: number, r2: number, n: number): Float32Array {
  const columns = new Float32Array(n * r1 * r2)
  for (let k = 0; k < n; k++) {
    for (let i = 0; i < r1; i++) {
      const start = (k * r1 + i) * r2
      for (let j = 0; j < r2; j++) columns[start + j] = x[k * r1 + i] * y[k * r2 + j]
    }
  }
  return columns
}

function hadamardRows(
  { inFeatures, outFeatures }: Site,
  a1: Float32Array,
  b1: Float32Array,
  a2: Float32Array,
  b2: Float32Array,
  scale: number,
): DenseRows {
  const [left1, left2] = [a1, a2].map((a) => floatMatrix(a, outFeatures, a.length / outFeatures))
  const [right1, right2] = [b1, b2].map((b) => floatMatrix(b, b.length / inFeatures, inFeatures))
  return {
    count: outFeatures,
    rows(first, into) {
      const count = into.length / inFeatures
      addProduct(into, rowRange(left1, first, count), right1, scale)
      multiplyByProduct(into, rowRange(left2, first, count), right2)
    },
  }
}
