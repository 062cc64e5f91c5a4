/** Every kernel against plain arithmetic: conversions bit for bit, sums within their rounding. */
import t from 'tap'
import { decodeFloats, encodeRow } from '../../../adapters-store/half.ts'
import { Workspace } from '../../../adapters-store/wasm/workspace.ts'

const workspace = new Workspace()
const { kernels } = workspace

/** Numbers of all magnitudes and signs, the same every time. */
function spread(count: number, from: number, to: number): Float32Array {
  let state = 7
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    const unit = state / 2 ** 32
    return (state & 1024 ? 1 : -1) * 2 ** (from + (to - from) * unit)
  })
}

for (const [dtype, decode] of [
  ['float16', kernels.decodeFloat16],
  ['bfloat16', kernels.decodeBfloat16],
] as const) {
  t.test(`all 65,536 values of ${dtype} are decoded as by the table`, async (t) => {
    const bytes = new Uint8Array(Uint16Array.from({ length: 65536 }, (_, i) => i).buffer)
    workspace.reset()
    const source = workspace.reserve(bytes.length)
    const target = workspace.reserve(4 * 65536)
    workspace.bytes(source, bytes.length).set(bytes)
    decode(source, target, 65536)
    const expected = new Float32Array(65536)
    decodeFloats(dtype, bytes, expected)
    const found = workspace.floats(target, 65536)
    t.equal(
      expected.findIndex((value, i) => !Object.is(value, found[i])),
      -1,
    )
  })
}

const ENCODERS = [
  ['float16', kernels.encodeFloat16, 2, -30, 15.9],
  ['bfloat16', kernels.encodeBfloat16, 2, -126, 127],
  ['float32', kernels.encodeFloat32, 4, -126, 126],
] as const

for (const [dtype, encode, bytes, from, to] of ENCODERS) {
  t.test(`floats become ${dtype} as by encodeRow, subnormals and ties included`, async (t) => {
    const ties = Float32Array.from({ length: 4096 }, (_, i) => (i - 2048) * 2 ** -25) // halves of float16's smallest steps
    const places = Float32Array.from({ length: 4096 }, (_, i) => 1 + i / 4096) // and of its and bfloat16's at 1
    for (const [values, factor] of [
      [spread(8192, from, to), 1],
      [spread(8192, from + 3, to), 0.25],
      [ties, 1],
      [places, 1],
      [places, 2 / 3],
    ] as const) {
      workspace.reset()
      const source = workspace.reserve(4 * values.length)
      const target = workspace.reserve(bytes * values.length)
      workspace.floats(source, values.length).set(values)
      encode(source, target, values.length, factor)
      const expected = new Uint8Array(bytes * values.length)
      encodeRow(dtype, values, Math.fround(factor), expected, new Float32Array(values.length))
      t.ok(Buffer.compare(workspace.bytes(target, expected.length), expected) === 0, `${values.length} values times ${factor}`)
    }
  })
}

t.test('the largest magnitude is found wherever it stands, and what is not finite is told', async (t) => {
  workspace.reset()
  const rows = workspace.reserveRows(1, 21)
  for (let at = 0; at < 21; at++) {
    const row = workspace.row(rows, 0)
    row.fill(-0.5)
    row[at] = at % 2 ? 3.25 : -3.25
    workspace.clearPadding(rows)
    t.equal(workspace.largest(rows, 0), 3.25)
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      row[at] = value
      t.equal(workspace.largest(rows, 0), Number.POSITIVE_INFINITY)
    }
  }
})

t.test('transposes', async (t) => {
  for (const [rows, columns] of [
    [4, 4],
    [12, 20],
    [64, 16],
  ]) {
    workspace.reset()
    const source = workspace.reserve(4 * rows * columns)
    const target = workspace.reserveRows(columns, rows)
    workspace.floats(source, rows * columns).set(Float32Array.from({ length: rows * columns }, (_, i) => i))
    kernels.transpose(source, target.address, rows, columns, target.stride)
    for (let c = 0; c < columns; c++) {
      t.strictSame(
        [...workspace.row(target, c)],
        Array.from({ length: rows }, (_, r) => r * columns + c),
      )
    }
  }
})

t.test('products and squares are sums of products, added to what is there', async (t) => {
  workspace.reset()
  const [rows, rank, count] = [6, 8, 40]
  const left = workspace.reserveRows(rows, count)
  const right = workspace.reserveRows(rank, 48)
  const sums = workspace.reserve(8 * rows * rank)
  workspace.floats(left.address, rows * left.stride).set(spread(rows * left.stride, -3, 0))
  workspace.floats(right.address, rank * right.stride).set(spread(rank * right.stride, -4, 1))
  workspace.doubles(sums, rows * rank).fill(100)
  kernels.products(left.address, left.stride, rows, right.address, right.stride, rank, count, sums)
  const found = workspace.doubles(sums, rows * rank)
  const dot = (x: Float32Array, y: Float32Array) => x.subarray(0, count).reduce((sum, value, i) => sum + value * y[i], 0)
  for (let o = 0; o < rows; o++) {
    for (let j = 0; j < rank; j++) {
      const expected = dot(workspace.row(left, o), workspace.row(right, j))
      t.ok(Math.abs(found[o * rank + j] - 100 - expected) < 1e-6 * count, `row ${o} by row ${j}`)
    }
    const row = workspace.row(left, o)
    t.ok(Math.abs(kernels.square(left.address + 4 * left.stride * o, count) / dot(row, row) - 1) < 1e-6)
  }
})

t.test('a workspace that grew large starts anew; reserved memory does not overlap', async (t) => {
  const large = new Workspace()
  const first = large.reserve(100)
  const second = large.reserve(100 << 20)
  t.ok(second >= first + 100)
  large.bytes(second + (100 << 20) - 1, 1).fill(1)
  large.reset()
  t.equal(large.reserve(1), 0)
  t.ok(large.kernels.memory.buffer.byteLength <= 1 << 20)
})
