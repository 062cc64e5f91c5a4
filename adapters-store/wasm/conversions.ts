/** Between float32 and 16-bit floats, eight at a time (IEEE 754; bfloat16 is a float32's upper half), and what is done to floats on the way. */
import { type Code, define, f32x4, i32, i32x4, upTo, v128 } from './assembler.ts'

/** Bytes of `count` floats. */
export const floatBytes = (count: Code): Code => i32.shl(count, i32.constant(2))
const floatSplat = (value: number) => i32x4.splat(new Int32Array(Float32Array.of(value).buffer)[0])
const shift = i32.constant

/** Decoders: eight 16-bit numbers a turn. */
const decoder = (name: string, decode: (bits: Code) => Code) =>
  define(
    name,
    { parameters: { source: 'i32', target: 'i32', count: 'i32' }, locals: { end: 'i32', bits: 'v128' } },
    ({ source, target, count, end, bits }) => [
      end.set(i32.add(source.get, i32.shl(count.get, shift(1)))),
      upTo(source, end, i32.constant(16), [
        ...[0, 1].flatMap((half) => [
          bits.set(v128.load16x4(source.get, 8 * half)),
          v128.store(target.get, decode(bits.get), 16 * half),
        ]),
        target.set(i32.add(target.get, i32.constant(32))),
      ]),
    ],
  )

/**
 * A float16's exponent counts from 15, a float32's from 127. A subnormal has no leading 1: it is read as if it had one, which is then subtracted.
 */
function float16ToFloat(bits: Code): Code {
  const magnitude = i32x4.shl(v128.and(bits, i32x4.splat(0x7fff)), shift(13))
  const sign = i32x4.shl(v128.and(bits, i32x4.splat(0x8000)), shift(16))
  const normal = i32x4.add(magnitude, i32x4.splat((127 - 15) << 23))
  const subnormal = f32x4.sub(i32x4.add(magnitude, i32x4.splat((127 - 14) << 23)), floatSplat(2 ** -14))
  const exponent = v128.and(bits, i32x4.splat(0x7c00))
  const finite = v128.select(subnormal, normal, i32x4.equal(exponent, i32x4.splat(0)))
  const infinite = v128.and(i32x4.equal(exponent, i32x4.splat(0x7c00)), i32x4.splat(0x7f800000))
  return v128.or(v128.or(finite, infinite), sign)
}

/** Encoders: eight floats a turn, times a factor. */
const encoder = (name: string, targetBytes: number, write: (target: Code, low: Code, high: Code) => Code) =>
  define(
    name,
    {
      parameters: { source: 'i32', target: 'i32', count: 'i32', factor: 'f32' },
      locals: { end: 'i32', factors: 'v128', low: 'v128', high: 'v128' },
    },
    ({ source, target, count, factor, end, factors, low, high }) => [
      factors.set(f32x4.splat(factor.get)),
      end.set(i32.add(source.get, floatBytes(count.get))),
      upTo(source, end, i32.constant(32), [
        low.set(f32x4.mul(v128.load(source.get), factors.get)),
        high.set(f32x4.mul(v128.load(source.get, 16), factors.get)),
        write(target.get, low.get, high.get),
        target.set(i32.add(target.get, i32.constant(8 * targetBytes))),
      ]),
    ],
  )

/** Half of the last place, less one bit unless the last place is odd: what makes cutting off round to nearest, ties to even. */
const roundingBias = (bits: Code, dropped: number) =>
  i32x4.add(i32x4.splat((1 << (dropped - 1)) - 1), v128.and(i32x4.shrUnsigned(bits, shift(dropped)), i32x4.splat(1)))

/** Below 2^-14 the result is subnormal: adding 0.5 makes the hardware round at the right place. */
function floatToFloat16(bits: Code): Code {
  const magnitude = v128.and(bits, i32x4.splat(0x7fffffff))
  const sign = v128.and(i32x4.shrUnsigned(bits, shift(16)), i32x4.splat(0x8000))
  const rebased = i32x4.sub(i32x4.add(magnitude, roundingBias(bits, 13)), i32x4.splat((127 - 15) << 23))
  const subnormal = i32x4.sub(f32x4.add(magnitude, floatSplat(0.5)), floatSplat(0.5))
  const small = i32x4.lessSigned(magnitude, i32x4.splat((127 - 14) << 23))
  return v128.or(v128.select(subnormal, i32x4.shrUnsigned(rebased, shift(13)), small), sign)
}

const floatToBfloat16 = (bits: Code) => i32x4.shrUnsigned(i32x4.add(bits, roundingBias(bits, 16)), shift(16))

export const decodeFloat16 = decoder('decodeFloat16', float16ToFloat)
export const decodeBfloat16 = decoder('decodeBfloat16', (bits) => i32x4.shl(bits, shift(16)))

export const encodeFloat16 = encoder('encodeFloat16', 2, (target, low, high) =>
  v128.store(target, i32x4.narrow(floatToFloat16(low), floatToFloat16(high))),
)
export const encodeBfloat16 = encoder('encodeBfloat16', 2, (target, low, high) =>
  v128.store(target, i32x4.narrow(floatToBfloat16(low), floatToBfloat16(high))),
)
export const encodeFloat32 = encoder('encodeFloat32', 4, (target, low, high) => [
  ...v128.store(target, low),
  ...v128.store(target, high, 16),
])

export const largest = define(
  'largest',
  { parameters: { source: 'i32', count: 'i32' }, locals: { end: 'i32', best: 'v128' }, result: 'i32' },
  ({ source, count, end, best }) => {
    const magnitude = (offset: number) => v128.and(v128.load(source.get, offset), i32x4.splat(0x7fffffff))
    const folded = (lanes: number[]) => best.set(i32x4.maxSigned(best.get, v128.shuffle32(best.get, best.get, lanes)))
    return [
      end.set(i32.add(source.get, floatBytes(count.get))),
      upTo(source, end, i32.constant(32), [best.set(i32x4.maxSigned(best.get, i32x4.maxSigned(magnitude(0), magnitude(16))))]),
      folded([2, 3, 0, 1]),
      folded([1, 0, 3, 2]),
      i32x4.lane(best.get, 0),
    ]
  },
)

/** In tiles of 4 × 4: pairs of rows are interleaved, then pairs of pairs. */
export const transpose = define(
  'transpose',
  {
    parameters: { source: 'i32', target: 'i32', rows: 'i32', columns: 'i32', stride: 'i32' },
    locals: {
      ...{ rowBytes: 'i32', strideBytes: 'i32', endOfRow: 'i32', end: 'i32', from: 'i32', to: 'i32', p: 'i32', q: 'i32' },
      ...{ low02: 'v128', high02: 'v128', low13: 'v128', high13: 'v128' },
    },
  },
  (v) => {
    const low = [0, 4, 1, 5]
    const high = [2, 6, 3, 7]
    const row = (n: number) => v128.load(n === 0 ? v.from.get : i32.add(v.from.get, i32.mul(v.rowBytes.get, i32.constant(n))))
    const store = (a: Code, b: Code, lanes: number[]) => [
      ...v128.store(v.q.get, v128.shuffle32(a, b, lanes)),
      ...v.q.set(i32.add(v.q.get, v.strideBytes.get)),
    ]
    return [
      v.rowBytes.set(floatBytes(v.columns.get)),
      v.strideBytes.set(floatBytes(v.stride.get)),
      v.end.set(i32.add(v.source.get, i32.mul(v.rowBytes.get, v.rows.get))),
      upTo(v.source, v.end, i32.shl(v.rowBytes.get, shift(2)), [
        v.from.set(v.source.get),
        v.to.set(v.target.get),
        v.endOfRow.set(i32.add(v.source.get, v.rowBytes.get)),
        upTo(v.from, v.endOfRow, i32.constant(16), [
          v.low02.set(v128.shuffle32(row(0), row(2), low)),
          v.high02.set(v128.shuffle32(row(0), row(2), high)),
          v.low13.set(v128.shuffle32(row(1), row(3), low)),
          v.high13.set(v128.shuffle32(row(1), row(3), high)),
          v.q.set(v.to.get),
          store(v.low02.get, v.low13.get, low),
          store(v.low02.get, v.low13.get, high),
          store(v.high02.get, v.high13.get, low),
          store(v.high02.get, v.high13.get, high),
          v.to.set(v.q.get),
        ]),
        v.target.set(i32.add(v.target.get, i32.constant(16))),
      ]),
    ]
  },
)
