/** Solves equations, each a row with its right side last; their matrix is symmetric and positive (Gauss, without pivots). */
export function solve(rows: number[][]): number[] {
  const n = rows.length
  for (let i = 0; i < n; i++)
    for (let k = i + 1; k < n; k++) {
      const factor = rows[k][i] / rows[i][i]
      for (let j = i; j <= n; j++) rows[k][j] -= factor * rows[i][j]
    }
  const solved: number[] = new Array(n).fill(0)
  for (let i = n - 1; i >= 0; i--) {
    let right = rows[i][n]
    for (let j = i + 1; j < n; j++) right -= rows[i][j] * solved[j]
    solved[i] = right / rows[i][i]
  }
  return solved
}
