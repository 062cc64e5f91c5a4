/** Writes the rows of factors and deltas into an image, in its element type. */
import { LARGEST } from '../native/floats.ts'
import { type FoldImage, floatMatrix, placeFactors as placePairs, placeRows } from './arithmetic.ts'
import { AdapterError } from './errors.ts'
import { type DenseRows, type Factors, matrixOf, requireFinite, weightShape } from './fold.ts'
import type { AdapterDtype, Site } from './types.ts'

/**
 * Rows of a dense delta are made as floats, a block at a time. 8 MB of them stay in the cache from one step to the next. A deep product packs its whole right side
 * once a block, which takes as long as 50 rows of it: 1,024 rows (64 MB at most) are worth more than the cache then.
 */
const BLOCK_FLOATS = 1 << 21
const DEEP = { terms: 256, rows: 1024, floats: 1 << 24 }

/** A's rows from image row `a` on, B's from `b` on. */
export function placeFactors(image: FoldImage, site: Site, factors: Factors, a: number, b: number): void {
  const { rank, scale } = factors
  const [rowsA, rowsB] = [matrixOf(factors.a, rank, site.inFeatures), matrixOf(factors.b, rank, site.outFeatures)]
  const excess = placePairs(image, rowsA, a, rowsB, b, scale)
  if (!excess) return
  requireFinite(factors.a, rank, site.inFeatures)
  requireFinite(factors.b, rank, site.outFeatures)
  throw new AdapterError(
    'adapter_tensor_invalid',
    `${site.module}: rank row ${excess.row} reaches ${excess.a} (A) times ${excess.b} (B), beyond ${image.dtype}` +
      (image.dtype === 'float16' ? '; serve with --adapter-dtype bfloat16 or float32' : ''),
  )
}

/** From image row `at` on, a block of rows at a time. */
export function placeDense(image: FoldImage, site: Site, dense: DenseRows, at: number): void {
  const { width } = weightShape(site)
  const blockRows =
    (dense.depth ?? 0) < DEEP.terms ? Math.floor(BLOCK_FLOATS / width) : Math.min(DEEP.rows, Math.floor(DEEP.floats / width))
  const rows = Math.max(1, Math.min(dense.count, blockRows))
  const block = new Float32Array(rows * width)
  for (let first = 0; first < dense.count; first += rows) {
    const count = Math.min(rows, dense.count - first)
    const values = block.subarray(0, count * width).fill(0)
    dense.rows(first, values)
    requireInRange(site, placeRows(image, at, dense.count, first, floatMatrix(values, count, width)), image.dtype)
  }
}

export function requireInRange(site: Site, largest: number, dtype: AdapterDtype): void {
  if (largest <= LARGEST[dtype]) return
  throw new AdapterError(
    'adapter_tensor_invalid',
    `${site.module}: folded, the adapter has values beyond ${dtype}; serve with --adapter-dtype ${dtype === 'float16' ? 'bfloat16' : 'float32'}`,
  )
}
