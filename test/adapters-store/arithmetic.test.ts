/** Matrices as files have them, cut, turned and mapped, against plain arithmetic in float64. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import {
  addProduct,
  type FoldMatrix,
  floatMatrix,
  multiplyByProduct,
  multiplyElements,
  readRows,
  repeated,
  rowRange,
  squareNorms,
  transposed,
} from '../../adapters-store/arithmetic.ts'
import { matrixOf, requireFinite } from '../../adapters-store/fold.ts'
import type { TensorType } from '../../adapters-store/types.ts'
import { encodeFloats } from '../../native/floats.ts'
import { temporaryFolder } from '../support/repo.ts'

/** Values that all types hold exactly. */
const value = (i: number) => ((i * 37) % 251) - 125
/** Numbers in [-1, 1) that look random. */
const noise = (seed: number) => (i: number) => {
  const x = Math.sin((i + 1) * 12.9898 + seed * 78.233) * 43758.5453
  return 2 * (x - Math.floor(x)) - 1
}
const floats = (count: number, of: (i: number) => number) => Float32Array.from({ length: count }, (_, i) => of(i))

/** Shape: [rows, columns] to [columns, rows]. */
const turned = (values: Float32Array, rows: number, columns: number) =>
  values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)])

function valuesOf(matrix: FoldMatrix): number[] {
  const into = new Float32Array(matrix.rows * matrix.columns)
  readRows(matrix, into)
  return [...into]
}

for (const [rank, width] of [
  [1, 1],
  [3, 7],
  [4, 16],
  [8, 20],
  [65, 24],
  [16, 260],
]) {
  t.test(`[${rank}, ${width}] of every type, as it lies there, transposed, in columns, in a file`, async (t) => {
    const rows = floats(rank * width, value)
    const columns = turned(rows, rank, width)
    const folder = temporaryFolder(t)
    for (const dtype of ['float16', 'bfloat16', 'float32'] as const) {
      for (const [lying, asColumns] of [
        [rows, false],
        [columns, true],
      ] as const) {
        // At an address that is a multiple of nothing.
        const bytes = new Uint8Array(new SharedArrayBuffer(encodeFloats(dtype, lying).length + 1), 1)
        bytes.set(encodeFloats(dtype, lying))
        const matrix = matrixOf({ file: 'f', key: 'k', dtype, bytes, transposed: asColumns }, rank, width)
        t.strictSame(valuesOf(matrix), [...rows])
        t.strictSame(valuesOf(transposed(matrix)), [...columns])
        const file = join(folder, `${dtype}-${asColumns}`)
        writeFileSync(file, bytes)
        const mapped = { ...matrix, data: { file, offset: 0 } }
        for (const some of [rowRange(matrix, rank - 1, 1), rowRange(mapped, rank - 1, 1)])
          t.strictSame(valuesOf(some), [...rows.subarray((rank - 1) * width)])
      }
    }
    t.strictSame(valuesOf(matrixOf(rows, rank, width)), [...rows])
    t.strictSame(valuesOf(matrixOf({ columns }, rank, width)), [...rows])
  })
}

t.test('a matrix may be a part of wider rows, and one row many times', async (t) => {
  const wide = floats(4 * 9, value)
  const part = { ...floatMatrix(wide, 4, 5), stride: 9 }
  t.strictSame(
    valuesOf(part),
    [...wide].filter((_, i) => i % 9 < 5),
  )
  t.strictSame(valuesOf(rowRange(transposed(part), 1, 2)), [1, 10, 19, 28, 2, 11, 20, 29].map(value))
  t.strictSame(valuesOf(repeated(Float32Array.of(1, 2), 2)), [1, 2, 1, 2])
})

t.test('products of any shape are added, multiplied and scaled as in float64', async (t) => {
  for (const [m, k, n] of [
    [1, 1, 1],
    [7, 300, 50],
    [33, 129, 97],
    [200, 513, 64],
  ]) {
    const [x, y, z] = [floats(m * k, noise(1)), floats(k * n, noise(2)), floats(m * n, noise(3))]
    const product = Array.from(z, (_, i) => {
      let sum = 0
      for (let j = 0; j < k; j++) sum += x[Math.floor(i / n) * k + j] * y[j * n + (i % n)]
      return sum
    })
    const near = (got: Float32Array, want: (i: number) => number) =>
      t.ok(
        got.every((v, i) => Math.abs(v - want(i)) < 1e-6 * k ** 0.5 + 1e-6),
        `[${m}, ${k}, ${n}]`,
      )
    const left = floatMatrix(x, m, k)
    const right = transposed(floatMatrix(turned(y, k, n), n, k))
    const added = z.slice()
    addProduct(added, left, right, 0.5)
    near(added, (i) => z[i] + 0.5 * product[i])
    const multiplied = z.slice()
    multiplyByProduct(multiplied, left, right)
    near(multiplied, (i) => z[i] * product[i])
    const squared = z.slice()
    multiplyElements(squared, floatMatrix(z, m, n))
    near(squared, (i) => z[i] * z[i])
  }
})

/** ‖w_o + s Σ_j b_oj a_j‖² written out. */
function normsOf(w: Float32Array, a: Float32Array, b: Float32Array, scale: number, out: number, inputs: number, rank: number) {
  return Array.from({ length: out }, (_, o) => {
    let square = 0
    for (let i = 0; i < inputs; i++) {
      let x = w[o * inputs + i]
      for (let j = 0; j < rank; j++) x += scale * b[o * rank + j] * a[j * inputs + i]
      square += x * x
    }
    return square
  })
}

function worstNorm(w: Float32Array, a: Float32Array, b: Float32Array, scale: number, out: number, inputs: number, rank: number) {
  const found = squareNorms(floatMatrix(w, out, inputs), floatMatrix(a, rank, inputs), floatMatrix(b, out, rank), scale)
  const right = normsOf(w, a, b, scale, out, inputs, rank)
  return Math.max(...right.map((square, o) => (square === 0 ? Math.abs(found[o]) : Math.abs(found[o] / square - 1))))
}

t.test('norms of W + s B A, also where they are too large or small for float32 squares', async (t) => {
  for (const [out, inputs, rank] of [
    [5, 3, 1],
    [16, 24, 4],
    [33, 1030, 6],
    [130, 2048, 17],
  ])
    for (const size of [1, 1e-25, 1e25]) {
      const w = floats(out * inputs, (i) => size * noise(1)(i))
      const a = floats(rank * inputs, (i) => size * noise(2)(i))
      const worst = worstNorm(w, a, floats(out * rank, noise(3)), 0.3, out, inputs, rank)
      t.ok(worst < 1e-6, `[${out}, ${inputs}] at rank ${rank}, ${size}: ${worst}`)
    }
})

t.test('norms of rows of which nearly nothing or nothing is left are as exact', async (t) => {
  const [out, inputs, rank] = [6, 40, 2]
  // Row o of W is -b_o0 a_0 but for a part in 2^(4 o); the last vanishes.
  const a = floats(rank * inputs, noise(5))
  const w = floats(out * inputs, (i) => -a[i % inputs] * (i >= (out - 1) * inputs ? 1 : 1 - 2 ** (-4 * Math.floor(i / inputs))))
  const b = floats(out * rank, (i) => (i % rank === 0 ? 1 : 0))
  // The first row of W is 0: nothing cancels there.
  const found = squareNorms(floatMatrix(w, out, inputs), floatMatrix(a, rank, inputs), floatMatrix(b, out, rank), 1)
  const right = normsOf(w, a, b, 1, out, inputs, rank)
  for (let o = 1; o < out - 1; o++) t.ok(Math.abs(found[o] / right[o] - 1) < 1e-12, `row ${o}`)
  t.equal(found[out - 1], 0)
})

t.test('values that are no numbers are refused by name', async (t) => {
  for (const dtype of ['float32', 'float16', 'bfloat16'] as TensorType[]) {
    const bytes = encodeFloats(dtype, Float32Array.of(1, Number.NaN))
    t.throws(() => requireFinite({ file: 'f', key: 'the.key', dtype, bytes, transposed: false }, 1, 2), {
      code: 'adapter_tensor_invalid',
      message: /f: the.key holds NaN/,
    })
  }
})

t.test('shapes that do not fit, and files that are too short or gone, are errors', async (t) => {
  const two = floatMatrix(new Float32Array(4), 2, 2)
  t.throws(() => addProduct(new Float32Array(4), two, floatMatrix(new Float32Array(3), 3, 1), 1), RangeError)
  t.throws(() => addProduct(new Float32Array(3), two, two, 1), RangeError)
  t.throws(() => valuesOf(floatMatrix(new Float32Array(3), 2, 2)), RangeError)
  const file = join(temporaryFolder(t), 'short')
  writeFileSync(file, new Uint8Array(15))
  t.throws(() => valuesOf({ ...two, data: { file, offset: 0 } }), { message: /short ended early/ })
  t.throws(() => valuesOf({ ...two, data: { file: `${file}.gone`, offset: 0 } }), { message: /cannot map .*gone/ })
})
