/** Products of rows, for DoRA's norms: float32 sums of a few hundred terms, added up in float64. */
import { type Code, define, f32x4, f64, f64x2, i32, upTo, type Variable, v128 } from './assembler.ts'
import { floatBytes } from './conversions.ts'

/** The four lanes' sum as float64. */
function laneSum(sums: Variable, pair: Variable): { before: Code; value: Code } {
  const upper = v128.shuffle32(sums.get, sums.get, [2, 3, 2, 3])
  return {
    before: pair.set(f64x2.add(f64x2.promoteLow(sums.get), f64x2.promoteLow(upper))),
    value: f64.add(f64x2.lane(pair.get, 0), f64x2.lane(pair.get, 1)),
  }
}

export const square = define(
  'square',
  {
    parameters: { source: 'i32', count: 'i32' },
    locals: { end: 'i32', x: 'v128', y: 'v128', sumX: 'v128', sumY: 'v128', pair: 'v128' },
    result: 'f64',
  },
  ({ source, count, end, x, y, sumX, sumY, pair }) => {
    const total = laneSum(sumX, pair)
    return [
      end.set(i32.add(source.get, floatBytes(count.get))),
      upTo(source, end, i32.constant(32), [
        x.set(v128.load(source.get)),
        y.set(v128.load(source.get, 16)),
        sumX.set(f32x4.add(sumX.get, f32x4.mul(x.get, x.get))),
        sumY.set(f32x4.add(sumY.get, f32x4.mul(y.get, y.get))),
      ]),
      sumX.set(f32x4.add(sumX.get, sumY.get)),
      total.before,
      total.value,
    ]
  },
)

/**
 * Two rows of the left by four of the right at a time: eight sums stay in registers, and every load serves two or four of them. All rows of the
 * right pass by for each pair of the left, so the right should fit the L2 cache.
 */
export const products = define(
  'products',
  {
    parameters: {
      ...{ left: 'i32', leftStride: 'i32', rows: 'i32', right: 'i32', rightStride: 'i32', rank: 'i32' },
      ...{ count: 'i32', sums: 'i32' },
    },
    locals: {
      ...{ leftEnd: 'i32', rightEnd: 'i32', end: 'i32', firstRight: 'i32', sumsOfRow: 'i32', nextSums: 'i32' },
      ...{ l0: 'i32', l1: 'i32', r0: 'i32', r1: 'i32', r2: 'i32', r3: 'i32' },
      ...{ x0: 'v128', x1: 'v128', y: 'v128', pair: 'v128' },
      ...{ s00: 'v128', s01: 'v128', s02: 'v128', s03: 'v128', s10: 'v128', s11: 'v128', s12: 'v128', s13: 'v128' },
    },
  },
  (v) => {
    const rights = [v.r0, v.r1, v.r2, v.r3]
    const sums = [
      [v.s00, v.s01, v.s02, v.s03],
      [v.s10, v.s11, v.s12, v.s13],
    ]
    const zero = f32x4.splat([0x43, 0, 0, 0, 0])
    const advance = (pointer: Variable, bytes: Code) => pointer.set(i32.add(pointer.get, bytes))
    const add = (sum: Variable, x: Variable) => sum.set(f32x4.add(sum.get, f32x4.mul(x.get, v.y.get)))
    const step = (offset: number) => [
      v.x0.set(v128.load(v.l0.get, offset)),
      v.x1.set(v128.load(v.l1.get, offset)),
      ...rights.flatMap((right, j) => [v.y.set(v128.load(right.get, offset)), add(sums[0][j], v.x0), add(sums[1][j], v.x1)]),
    ]
    const flush = (row: Variable[], address: Variable) =>
      row.flatMap((sum, j) => {
        const { before, value } = laneSum(sum, v.pair)
        return [before, f64.store(address.get, f64.add(f64.load(address.get, 8 * j), value), 8 * j)]
      })
    return [
      v.leftStride.set(floatBytes(v.leftStride.get)),
      v.rightStride.set(floatBytes(v.rightStride.get)),
      v.leftEnd.set(i32.add(v.left.get, i32.mul(v.leftStride.get, v.rows.get))),
      v.rightEnd.set(i32.add(v.right.get, i32.mul(v.rightStride.get, v.rank.get))),
      v.firstRight.set(v.right.get),
      upTo(v.left, v.leftEnd, i32.shl(v.leftStride.get, i32.constant(1)), [
        v.sumsOfRow.set(v.sums.get),
        v.nextSums.set(i32.add(v.sums.get, i32.shl(v.rank.get, i32.constant(3)))),
        v.right.set(v.firstRight.get),
        upTo(v.right, v.rightEnd, i32.shl(v.rightStride.get, i32.constant(2)), [
          v.l0.set(v.left.get),
          v.l1.set(i32.add(v.left.get, v.leftStride.get)),
          ...rights.map((right, j) => right.set(j === 0 ? v.right.get : i32.add(rights[j - 1].get, v.rightStride.get))),
          ...sums.flat().map((sum) => sum.set(zero)),
          v.end.set(i32.add(v.l0.get, floatBytes(v.count.get))),
          upTo(v.l0, v.end, i32.constant(32), [
            ...step(0),
            ...step(16),
            ...[v.l1, ...rights].map((pointer) => advance(pointer, i32.constant(32))),
          ]),
          ...flush(sums[0], v.sumsOfRow),
          ...flush(sums[1], v.nextSums),
          advance(v.sumsOfRow, i32.constant(32)),
          advance(v.nextSums, i32.constant(32)),
        ]),
        v.sums.set(v.nextSums.get),
      ]),
    ]
  },
)
