/** 16-bit floats: decoding tensors to float32 and rounding float32 rows to the pool's element type (round to nearest, ties to even). */
import type { AdapterDtype } from './types.ts'

/** Largest magnitude that does not round to infinity. */
export const LARGEST: Record<AdapterDtype, number> = {
  float16: 65504,
  bfloat16: 3.3895313892515355e38,
  float32: 3.4028234663852886e38,
}

export function elementBytes(dtype: AdapterDtype): number {
  return dtype === 'float32' ? 4 : 2
}

const oneFloat = new Float32Array(1)
const oneWord = new Uint32Array(oneFloat.buffer)

/** All 65,536 float16 values: decoding is one lookup. Built on first use (about a millisecond). */
let float16Table: Float32Array | undefined

function float16Values(): Float32Array {
  if (float16Table) return float16Table
  const table = new Float32Array(65536)
  for (let bits = 0; bits < 65536; bits++) {
    const sign = bits & 0x8000 ? -1 : 1
    const exponent = (bits >> 10) & 31
    const fraction = bits & 1023
    if (exponent === 31) table[bits] = fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
    else table[bits] = sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : (2 ** -14 * fraction) / 1024)
  }
  float16Table = table
  return table
}

/** Decodes `bytes` (little endian, any alignment) into `into`, which sets the number of elements. */
export function decodeFloats(dtype: AdapterDtype | 'float64', bytes: Uint8Array, into: Float32Array): void {
  if (dtype === 'float32') {
    new Uint8Array(into.buffer, into.byteOffset, into.byteLength).set(bytes)
    return
  }
  if (dtype === 'float64') {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    for (let i = 0; i < into.length; i++) into[i] = view.getFloat64(8 * i, true)
    return
  }
  const aligned = bytes.byteOffset % 2 === 0 ? bytes : bytes.slice()
  const halves = new Uint16Array(aligned.buffer, aligned.byteOffset, into.length)
  if (dtype === 'bfloat16') {
    const words = new Uint32Array(into.buffer, into.byteOffset, into.length)
    for (let i = 0; i < words.length; i++) words[i] = halves[i] << 16
  } else {
    const table = float16Values()
    for (let i = 0; i < into.length; i++) into[i] = table[halves[i]]
  }
}

/**
 * Writes `row · factor` to `target` in `dtype`. `scratch` holds at least row.length floats. The caller has made sure that nothing overflows.
 * Shape: row, target [n].
 */
export function encodeRow(
  dtype: AdapterDtype,
  row: Float32Array,
  factor: number,
  target: Uint8Array,
  scratch: Float32Array,
): void {
  const n = row.length
  if (dtype === 'float32') {
    const floats = new Float32Array(target.buffer, target.byteOffset, n)
    for (let i = 0; i < n; i++) floats[i] = row[i] * factor
    return
  }
  for (let i = 0; i < n; i++) scratch[i] = row[i] * factor
  const words = new Uint32Array(scratch.buffer, scratch.byteOffset, n)
  const halves = new Uint16Array(target.buffer, target.byteOffset, n)
  if (dtype === 'bfloat16') {
    for (let i = 0; i < n; i++) halves[i] = (words[i] + 0x7fff + ((words[i] >>> 16) & 1)) >>> 16
  } else {
    for (let i = 0; i < n; i++) halves[i] = float16Bits(words[i])
  }
}

/** Float32 bits to float16 bits. Below 2^-14 the result is subnormal: adding 0.5 as float32 makes the hardware round at the right place. */
function float16Bits(word: number): number {
  const sign = (word >>> 16) & 0x8000
  const magnitude = word & 0x7fffffff
  if (magnitude < 0x38800000) {
    oneWord[0] = magnitude
    oneFloat[0] = oneFloat[0] + 0.5
    return sign | (oneWord[0] - 0x3f000000)
  }
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13)
}

/** Largest magnitude of the values; NaN if any is not a number. */
export function largestMagnitude(values: Float32Array): number {
  let largest = 0
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i])
    if (!(magnitude <= largest)) {
      if (Number.isNaN(magnitude)) return Number.NaN
      largest = magnitude
    }
  }
  return largest
}
