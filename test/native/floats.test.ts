/** The addon's conversions as TypeScript sees them. */
import t from 'tap'
import { decodeFloats, encodeFloats, largestMagnitude } from '../../native/floats.ts'

function encoded(dtype: 'float16' | 'bfloat16', values: number[]): number[] {
  return [...new Uint16Array(encodeFloats(dtype, Float32Array.from(values)).buffer)]
}

function decoded(dtype: 'float16' | 'bfloat16', bits: number[]): Float32Array {
  const values = new Float32Array(bits.length)
  decodeFloats(dtype, new Uint8Array(Uint16Array.from(bits).buffer), values)
  return values
}

t.test('every finite float16 and bfloat16 survives decoding and encoding', async (t) => {
  for (const dtype of ['float16', 'bfloat16'] as const) {
    const infinity = dtype === 'float16' ? 0x7c00 : 0x7f80
    const bits = Array.from({ length: 65536 }, (_, i) => i).filter((i) => (i & infinity) !== infinity)
    const back = encoded(dtype, [...decoded(dtype, bits)])
    t.equal(
      back.findIndex((value, i) => value !== bits[i]),
      -1,
    )
  }
})

t.test('known float16 values', async (t) => {
  t.strictSame([...decoded('float16', [0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x8000])], [1, -2, 65504, 2 ** -14, 2 ** -24, -0])
  t.strictSame(
    [...decoded('float16', [0x7c00, 0xfc00, 0x7e00])],
    [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN],
  )
})

t.test('rounds to nearest, ties to even, in the normal and the subnormal range', async (t) => {
  const step = 2 ** -10 // of float16 in [1, 2)
  t.strictSame(
    encoded('float16', [1 + step / 2, 1 + 1.5 * step, 1 + 0.51 * step, 1 + 0.49 * step]),
    [0x3c00, 0x3c02, 0x3c01, 0x3c00],
  )
  const tiny = 2 ** -24
  t.strictSame(
    encoded('float16', [tiny / 2, 1.5 * tiny, 0.51 * tiny, 2.5 * tiny, -1.5 * tiny, 2 ** -40]),
    [0, 2, 1, 2, 0x8002, 0],
  )
  t.strictSame(encoded('float16', [2 ** -14 - 2 ** -26]), [0x0400], 'a subnormal that rounds up to the smallest normal')
  const wide = 2 ** -7 // of bfloat16
  t.strictSame(encoded('bfloat16', [1 + wide / 2, 1 + 1.5 * wide, 1 + 0.51 * wide]), [0x3f80, 0x3f82, 0x3f81])
})

t.test('decodes at odd addresses, and float64', async (t) => {
  const bytes = new Uint8Array(5)
  bytes.set(new Uint8Array(Uint16Array.from([0x3c00, 0x4000]).buffer), 1)
  const values = new Float32Array(2)
  decodeFloats('float16', bytes.subarray(1), values)
  t.strictSame([...values], [1, 2])
  decodeFloats('float64', new Uint8Array(Float64Array.from([0.5, -3]).buffer), values)
  t.strictSame([...values], [0.5, -3])
})

t.test('the largest magnitude, infinite if there is one that is no number', async (t) => {
  t.equal(largestMagnitude(Float32Array.from([1, -7, 3])), 7)
  t.equal(largestMagnitude(new Float32Array(0)), 0)
  t.equal(largestMagnitude(Float32Array.from([1, Number.NaN, 3])), Number.POSITIVE_INFINITY)
  t.equal(largestMagnitude(Float32Array.from([1, Number.NEGATIVE_INFINITY])), Number.POSITIVE_INFINITY)
})
