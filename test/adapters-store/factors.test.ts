/** Matrices as files have them: every type, shape and alignment gives the floats that plain decoding gives. */
import t from 'tap'
import { type FileMatrix, floatsOf, placeRows, transpose } from '../../adapters-store/factors.ts'
import { encodeRow } from '../../adapters-store/half.ts'
import type { AdapterDtype } from '../../adapters-store/types.ts'
import { Workspace } from '../../adapters-store/wasm/workspace.ts'

/** Values that all types hold exactly, at an address that is a multiple of nothing. */
function matrixOf(values: Float32Array, dtype: AdapterDtype, transposed: boolean): FileMatrix {
  const encoded = new Uint8Array((dtype === 'float32' ? 4 : 2) * values.length)
  encodeRow(dtype, values, 1, encoded, new Float32Array(values.length))
  const bytes = new Uint8Array(new SharedArrayBuffer(encoded.length + 1), 1)
  bytes.set(encoded)
  return { file: 'f', key: 'k', dtype, bytes, transposed }
}

for (const [rank, width] of [
  [1, 1],
  [3, 7],
  [4, 16],
  [8, 20],
  [5, 24],
  [16, 260],
]) {
  t.test(`[${rank}, ${width}] of every type, as it lies there and transposed`, async (t) => {
    const rows = Float32Array.from({ length: rank * width }, (_, i) => ((i * 37) % 251) - 125)
    const space = new Workspace()
    for (const dtype of ['float16', 'bfloat16', 'float32'] as const) {
      for (const source of [matrixOf(rows, dtype, false), matrixOf(transpose(rows, rank, width), dtype, true), rows]) {
        space.reset()
        space.bytes(0, 65536).fill(0xff)
        const placed = placeRows(space, source, rank, width)
        const found = Array.from({ length: rank }, (_, j) => [...space.row(placed, j)])
        t.strictSame(found.flat(), [...rows])
        t.strictSame([...floatsOf(source, rank, width)], [...rows])
        for (let j = 0; j < rank; j++) t.ok(Number.isFinite(space.largest(placed, j)), 'what lies behind a row does not count')
      }
    }
  })
}

t.test('values that are no numbers are refused by name', async (t) => {
  const matrix = matrixOf(Float32Array.of(1, Number.NaN), 'float32', false)
  t.throws(() => floatsOf({ ...matrix, key: 'the.key' }, 1, 2), {
    code: 'adapter_tensor_invalid',
    message: /f: the.key holds NaN/,
  })
})
