/**
 * LoKr (Yeh et al., 2023). peft 0.21, tuners/lokr/layer.py: ΔW = (alpha / r) · kron(w1, w2); w1 and w2 are whole or products `_a @ _b`.
 * kron(p q, s t) = kron(p, s) kron(q, t), so the rank is that of w1 times that of w2; a whole factor is itself times an identity on its smaller
 * side. Where that takes more bytes than ΔW, ΔW is written out.
 */
import { addProduct, floatMatrix } from '../arithmetic.ts'
import { type ConfigReader, ignored } from '../config.ts'
import { AdapterError } from '../errors.ts'
import { type DenseRows, type Fold, oneByOne } from '../fold.ts'
import type { SiteTensors } from '../tensors.ts'
import type { Method } from './method.ts'

/** left [rows, rank] times right [rank, columns]. */
interface Pair {
  rows: number
  columns: number
  rank: number
  left: Float32Array
  right: Float32Array
}

export const lokr: Method = {
  peftType: 'LOKR',
  config: {
    r: ignored,
    alpha: ignored,
    rank_pattern: ignored,
    alpha_pattern: ignored,
    rank_dropout: ignored,
    module_dropout: ignored,
    rank_dropout_scale: ignored,
    use_effective_conv2d: ignored, // convolutions are in none of the supported models
    decompose_both: ignored, // seen in the tensors
    decompose_factor: ignored,
    init_weights: ignored,
  },
  parameters: ['lokr_w1', 'lokr_w1_a', 'lokr_w2', 'lokr_w2_a'],
  sites: ['linear', 'head'],
  prepare({ config }) {
    return (tensors): Fold => {
      const { inFeatures, outFeatures, module } = tensors.site
      const w1 = pair(tensors, 'lokr_w1')
      const w2 = pair(tensors, 'lokr_w2')
      if (w1.rows * w2.rows !== outFeatures || w1.columns * w2.columns !== inFeatures) {
        throw new AdapterError(
          'adapter_base_mismatch',
          `${module}: lokr_w1 [${w1.rows}, ${w1.columns}] times lokr_w2 [${w2.rows}, ${w2.columns}] does not make [${outFeatures}, ${inFeatures}]`,
        )
      }
      const scale = scaleOf(config, tensors)
      const rank = w1.rank * w2.rank
      if (rank * (inFeatures + outFeatures) > inFeatures * outFeatures) return { dense: kroneckerRows(w1, w2, scale) }
      const b = () => ({ columns: kronecker(w1.left, w2.left, w1.rows, w1.rank, w2.rows, w2.rank) })
      const a = () => kronecker(w1.right, w2.right, w1.rank, w1.columns, w2.rank, w2.columns)
      return { factors: { rank, a, b, scale } }
    }
  },
}

/** The rank in the scale is the config's: a whole w1 or w2 does not show it. */
function scaleOf(config: ConfigReader, { site }: SiteTensors): number {
  return config.perModule('alpha', 8, 'alpha_pattern', site.module) / config.perModule('r', 8, 'rank_pattern', site.module)
}

function pair(tensors: SiteTensors, name: string): Pair {
  if (tensors.has(name)) {
    const { shape, data } = tensors.take(name, [null, null])
    const [rows, columns] = shape
    return rows <= columns
      ? { rows, columns, rank: rows, left: identity(rows), right: data }
      : { rows, columns, rank: columns, left: data, right: identity(columns) }
  }
  const left = tensors.take(`${name}_a`, [null, null])
  const [rows, rank] = left.shape
  const right = tensors.take(`${name}_b`, [rank, null])
  return { rows, columns: right.shape[1], rank, left: left.data, right: right.data }
}

function identity(n: number): Float32Array {
  const values = new Float32Array(n * n)
  for (let i = 0; i < n; i++) values[i * n + i] = 1
  return values
}

/** Shape: x [m, n], y [p, q] to [m p, n q]. */
function kronecker(x: Float32Array, y: Float32Array, m: number, n: number, p: number, q: number): Float32Array {
  const result = new Float32Array(m * p * n * q)
  for (let i = 0; i < m * p; i++) kroneckerRow(x, y, n, p, q, i, result.subarray(i * n * q, (i + 1) * n * q), 1)
  return result
}

function kroneckerRow(
  x: Float32Array,
  y: Float32Array,
  n: number,
  p: number,
  q: number,
  i: number,
  into: Float32Array,
  scale: number,
): void {
  const [outer, inner] = [Math.floor(i / p), i % p]
  for (let k = 0; k < n; k++) {
    const factor = scale * x[outer * n + k]
    for (let l = 0; l < q; l++) into[k * q + l] = factor * y[inner * q + l]
  }
}

function kroneckerRows(w1: Pair, w2: Pair, scale: number): DenseRows {
  const x = product(w1)
  const y = product(w2)
  return {
    count: w1.rows * w2.rows,
    rows: oneByOne(w1.columns * w2.columns, (o, into) => kroneckerRow(x, y, w1.columns, w2.rows, w2.columns, o, into, scale)),
  }
}

function product({ rows, columns, rank, left, right }: Pair): Float32Array {
  const result = new Float32Array(rows * columns)
  addProduct(result, floatMatrix(left, rows, rank), floatMatrix(right, rank, columns), 1)
  return result
}
