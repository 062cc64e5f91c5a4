/**
 * How factors are scaled before they are rounded. Per rank row, A and B take reciprocal powers of two (which change no bit of the product) so that
 * their largest values meet in the middle: float16 then neither overflows nor loses digits below 2^-14. The adapter's scale goes into B.
 */
import { AdapterError } from './errors.ts'
import { LARGEST } from './half.ts'
import type { AdapterDtype, Site } from './types.ts'

/** Factors to multiply each row with. Shape: a, b [rank]. */
export interface Balance {
  a: Float64Array
  b: Float64Array
}

/** Of the largest magnitudes of each row of A and of B. Shape: [rank]. */
export function balance(site: Site, ofA: Float64Array, ofB: Float64Array, scale: number, dtype: AdapterDtype): Balance {
  const rank = ofA.length
  const result = { a: new Float64Array(rank), b: new Float64Array(rank) }
  for (let j = 0; j < rank; j++) {
    const largestA = ofA[j]
    const largestB = ofB[j] * Math.abs(scale)
    if (largestA === 0 || largestB === 0) continue // adds nothing (an untrained row): zeros, whatever the other side is
    const shift = dtype === 'float16' ? 2 ** Math.round((Math.log2(largestA) - Math.log2(largestB)) / 2) : 1
    if (!(largestA / shift <= LARGEST[dtype] && largestB * shift <= LARGEST[dtype])) {
      throw new AdapterError(
        'adapter_tensor_invalid',
        `${site.module}: rank row ${j} reaches ${largestA} (A) times ${largestB} (B), beyond ${dtype}` +
          (dtype === 'float16' ? '; serve with --adapter-dtype bfloat16 or float32' : ''),
      )
    }
    result.a[j] = 1 / shift
    result.b[j] = scale * shift
  }
  return result
}
