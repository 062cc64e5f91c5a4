/**
 * Rank rows by singular value (`--rank-order svd`). Of ΔW = s · B A each site's factors become those of its singular value decomposition, so that the first k rank rows are its best approximation of
 * rank k (Eckart and Young, 1936), and all of them what they were. With Bᵀ B = S and A Aᵀ = T (r × r), S = Pᵀ P, T = Qᵀ Q and P Qᵀ = U Σ Vᵀ: B (Qᵀ V) = (B's side of ΔW's decomposition) Σ, and (Σ⁻¹ Uᵀ P) A
 * is A's. So nothing of the size of W is made, and the large sides are read twice.
 */
import { createHash } from 'node:crypto'
import { addProduct, floatMatrix } from './arithmetic.ts'
import { type Factors, requireFinite, type SiteFold, valuesOf } from './fold.ts'
import { gram, product, root, singular } from './singular.ts'
import type { LoadOptions, Site } from './types.ts'

/** Of more ranks the decomposition takes seconds for each site: such an adapter stays in its own order. */
const MOST_RANKS = 256
/** Singular values below this part of the largest are zeros: that is what float32 holds of the product. */
const LEAST = 2 ** -23

export interface Ordered {
  folds: SiteFold[]
  /** Absent: they are as they were. */
  order?: 'svd'
  /** For people. */
  warning?: string
}

/** What takes no rank (scales, rows of ΔW: ranks.ts), or has only one everywhere, stays as it is. */
export function inRankOrder(folds: SiteFold[], { rankOrder }: LoadOptions): Ordered {
  const ranks = folds.map(({ factors }) => factors?.rank ?? 0)
  const most = ranks.reduce((one, other) => Math.max(one, other), 0)
  const ranked = folds.every(({ factors, dense, outScale, inScale }) => (factors || !dense) && !outScale && !inScale)
  if (rankOrder !== 'svd' || !ranked || most < 2) return { folds }
  if (most > MOST_RANKS)
    return {
      folds,
      warning: `its ranks stay in their own order (--rank-order svd): it has ${most}, and up to ${MOST_RANKS} are ordered`,
    }
  return {
    order: 'svd',
    folds: folds.map((fold) => (fold.factors ? { ...fold, factors: bySingularValue(fold.site, fold.factors) } : fold)),
  }
}

/** An adapter whose ranks are in another order is another one: with some of them it computes something else. */
export const digestInOrder = (digest: string, order: Ordered['order']) =>
  order === undefined ? digest : createHash('sha256').update(`${digest} rank-order ${order}`).digest('hex')

/** Made when the rows are written, so that those of one site are held at a time. */
function bySingularValue(site: Site, factors: Factors): Factors {
  const sides: Partial<Sides> = {}
  const take = (side: keyof Sides) => {
    if (!sides[side]) Object.assign(sides, turned(site, factors))
    const taken = sides[side] as Float32Array
    delete sides[side]
    return taken
  }
  return { ...factors, a: () => take('a'), b: () => take('b') }
}

/** Rows of a factor each. Shape: a [rank, in], b [rank, out]. */
interface Sides {
  a: Float32Array
  b: Float32Array
}

function turned({ inFeatures, outFeatures }: Site, { rank, a, b }: Factors): Sides {
  requireFinite(a, rank, inFeatures)
  requireFinite(b, rank, outFeatures)
  const rows: Sides = { a: valuesOf(a, rank, inFeatures), b: valuesOf(b, rank, outFeatures) }
  const turns = turnsOf(gram(rows.a, rank, inFeatures), gram(rows.b, rank, outFeatures), rank)
  // Values that are made may be infinite: whoever places them says so.
  if (!turns) return rows
  return { a: multiplied(turns.a, rows.a, rank), b: multiplied(turns.b, rows.b, rank) }
}

/** By what A's and B's rows are to be multiplied, given their inner products; undefined: those are not finite. Shape: all [rank, rank]. */
function turnsOf(ofA: Float64Array, ofB: Float64Array, rank: number): Sides | undefined {
  if (![...ofA, ...ofB].every(Number.isFinite)) return undefined
  const [q, p] = [root(ofA, rank), root(ofB, rank)]
  const { values, left, right } = singular(product(p, q, rank, true), rank)
  // A's rows all become as long as A is, and B's get what is left of the singular values: numbers that float32 holds.
  const length = Math.sqrt(trace(ofA, rank))
  const [a, b] = [product(left, p, rank), product(right, q, rank)]
  const kept = (k: number) => values[k] > LEAST * values[0]
  return {
    a: Float32Array.from(a, (value, i) => (kept(Math.floor(i / rank)) ? (value * length) / values[Math.floor(i / rank)] : 0)),
    b: Float32Array.from(b, (value, i) => (kept(Math.floor(i / rank)) ? value / length : 0)),
  }
}

function trace(g: Float64Array, rank: number): number {
  let sum = 0
  for (let i = 0; i < rank; i++) sum += g[i * rank + i]
  return sum
}

/** Shape: by [rank, rank], rows and result [rank, width]. */
function multiplied(by: Float32Array, rows: Float32Array, rank: number): Float32Array {
  const result = new Float32Array(rows.length)
  addProduct(result, floatMatrix(by, rank, rank), floatMatrix(rows, rank, rows.length / rank), 1)
  return result
}
