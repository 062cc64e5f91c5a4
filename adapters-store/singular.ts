/** The singular value decomposition of a product of two factors, by matrices of the size of its rank. All in float64, row by row: element (i, j) of an n × n matrix lies at i n + j. */

/** Columns that are multiplied at a time: they stay in the cache. */
const BLOCK = 1024

/** Inner products of a matrix's rows with each other. Shape: rows [rank, width], result [rank, rank]. */
export function gram(rows: Float32Array, rank: number, width: number): Float64Array {
  // Two rows by two at a time, so that each value that is read is used twice.
  const even = rank + (rank & 1)
  const block = new Float64Array(even * BLOCK)
  const sums = new Float64Array(even * even)
  for (let from = 0; from < width; from += BLOCK) {
    const columns = Math.min(BLOCK, width - from)
    for (let i = 0; i < rank; i++) block.set(rows.subarray(i * width + from, i * width + from + columns), i * BLOCK)
    for (let i = 0; i < even; i += 2)
      for (let j = i; j < even; j += 2) {
        let [ii, ij, ji, jj] = [0, 0, 0, 0]
        const [first, second] = [i * BLOCK, j * BLOCK]
        for (let k = 0; k < columns; k++) {
          const [p, q, r, s] = [block[first + k], block[first + BLOCK + k], block[second + k], block[second + BLOCK + k]]
          ii += p * r
          ij += p * s
          ji += q * r
          jj += q * s
        }
        sums[i * even + j] += ii
        sums[i * even + j + 1] += ij
        sums[(i + 1) * even + j] += ji
        sums[(i + 1) * even + j + 1] += jj
      }
  }
  const result = new Float64Array(rank * rank)
  for (let i = 0; i < rank; i++)
    for (let j = 0; j < rank; j++) result[i * rank + j] = j >= i ? sums[i * even + j] : sums[j * even + i]
  return result
}

/**
 * R with Rᵀ R = G (Cholesky with pivots), for a G that is symmetric and has no negative eigenvalues. Rows beyond G's rank are zeros. Shape: G, result [n, n].
 */
export function root(g: Float64Array, n: number): Float64Array {
  const rest = g.slice()
  const result = new Float64Array(n * n)
  let largest = 0
  for (let i = 0; i < n; i++) largest = Math.max(largest, g[i * n + i])
  for (let k = 0; k < n; k++) {
    let pivot = 0
    for (let i = 1; i < n; i++) if (rest[i * n + i] > rest[pivot * n + pivot]) pivot = i
    const value = rest[pivot * n + pivot]
    // What is left is rounding.
    if (!(value > n * Number.EPSILON * largest)) break
    const scale = 1 / Math.sqrt(value)
    const row = result.subarray(k * n, (k + 1) * n)
    for (let j = 0; j < n; j++) row[j] = rest[pivot * n + j] * scale
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) rest[i * n + j] -= row[i] * row[j]
    // Exactly, so that it is no pivot again.
    for (let j = 0; j < n; j++) rest[pivot * n + j] = rest[j * n + pivot] = 0
  }
  return result
}

/** Many times what any matrix has been seen to take. */
const MOST_SWEEPS = 60
/** Cosine of an angle that counts as a right one. */
const RIGHT = 1e-15

/**
 * M = U Σ Vᵀ by one-sided Jacobi rotations, the largest singular value first. Shape: M [n, n]; `values` [n]; row k of `left` [n, n] and of `right` [n, n] are the singular vectors of value k; those of a
 * value of 0 are zeros on the left.
 */
export function singular(m: Float64Array, n: number): { values: Float64Array; left: Float64Array; right: Float64Array } {
  // Rows are M's columns, which become orthogonal, and V's.
  const columns = new Float64Array(n * n)
  const turned = new Float64Array(n * n)
  for (let i = 0; i < n; i++) {
    turned[i * n + i] = 1
    for (let j = 0; j < n; j++) columns[j * n + i] = m[i * n + j]
  }
  const dot = (i: number, j: number) => {
    let sum = 0
    for (let k = 0; k < n; k++) sum += columns[i * n + k] * columns[j * n + k]
    return sum
  }
  const rotate = (rows: Float64Array, i: number, j: number, c: number, s: number) => {
    for (let a = i * n, b = j * n, end = a + n; a < end; a++, b++) {
      const [x, y] = [rows[a], rows[b]]
      rows[a] = c * x - s * y
      rows[b] = s * x + c * y
    }
  }
  let total = 0
  for (let i = 0; i < n; i++) total += dot(i, i)
  const nothing = total * Number.EPSILON ** 2
  for (let sweep = 0, turns = 1; turns > 0 && sweep < MOST_SWEEPS; sweep++) {
    turns = 0
    const squares = Float64Array.from({ length: n }, (_, i) => dot(i, i))
    for (let i = 0; i < n - 1; i++)
      for (let j = i + 1; j < n; j++) {
        // Between columns that are rounding there is no angle.
        if (squares[i] <= nothing || squares[j] <= nothing) continue
        const inner = dot(i, j)
        if (Math.abs(inner) <= RIGHT * n * Math.sqrt(squares[i] * squares[j])) continue
        const zeta = (squares[j] - squares[i]) / (2 * inner)
        const tangent = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.hypot(1, zeta))
        const c = 1 / Math.hypot(1, tangent)
        rotate(columns, i, j, c, c * tangent)
        rotate(turned, i, j, c, c * tangent)
        squares[i] -= tangent * inner
        squares[j] += tangent * inner
        turns++
      }
  }
  const lengths = Array.from({ length: n }, (_, i) => Math.sqrt(dot(i, i)))
  const order = lengths.map((_, i) => i).sort((a, b) => lengths[b] - lengths[a])
  const [left, right] = [new Float64Array(n * n), new Float64Array(n * n)]
  for (const [k, i] of order.entries())
    for (let j = 0; j < n; j++) {
      left[k * n + j] = lengths[i] > 0 ? columns[i * n + j] / lengths[i] : 0
      right[k * n + j] = turned[i * n + j]
    }
  return { values: Float64Array.from(order, (i) => lengths[i]), left, right }
}

/** left · right, or left · rightᵀ. Shape: all [n, n]. */
export function product(left: Float64Array, right: Float64Array, n: number, transposed = false): Float64Array {
  const result = new Float64Array(n * n)
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++) {
      let sum = 0
      for (let k = 0; k < n; k++) sum += left[i * n + k] * right[transposed ? j * n + k : k * n + j]
      result[i * n + j] = sum
    }
  return result
}
