/** Weights in the types of ggml that the benchmarks compare (ggml/src/ggml-common.h says what their blocks are), rounded as ggml's reference does. */
import { toHalf } from '../../random.ts'

/** Their numbers in a GGUF file. */
export const GGML_TYPES = { F32: 0, F16: 1, Q4_0: 2, Q8_0: 8, BF16: 30 } as const
export type GgmlType = keyof typeof GGML_TYPES

const BLOCK = 32
/** Bytes of a block: a scale in float16, then its values. */
const BLOCK_BYTES = { Q8_0: 2 + BLOCK, Q4_0: 2 + BLOCK / 2 }

/** Bytes of so many elements, which fill whole blocks. */
export function sizeIn(type: GgmlType, elements: number): number {
  if (type === 'Q8_0' || type === 'Q4_0') return (elements / BLOCK) * BLOCK_BYTES[type]
  return elements * (type === 'F32' ? 4 : 2)
}

/** `plain`: float32 for every type but F16, which stays as it is. */
export function encoded(type: GgmlType, plain: Buffer): Buffer {
  if (type === 'F32' || type === 'F16') return plain
  const values = new Float32Array(plain.buffer, plain.byteOffset, plain.length / 4)
  if (type === 'BF16') return bfloat16(values)
  const bytes = Buffer.alloc(sizeIn(type, values.length))
  const scales = new Float32Array(values.length / BLOCK)
  const write = type === 'Q8_0' ? writeBytes : writeNibbles
  for (let block = 0; block < scales.length; block++)
    scales[block] = write(values.subarray(block * BLOCK, (block + 1) * BLOCK), bytes, block * BLOCK_BYTES[type] + 2)
  for (const [block, scale] of toHalf(scales).entries()) bytes.writeUInt16LE(scale, block * BLOCK_BYTES[type])
  return bytes
}

function bfloat16(values: Float32Array): Buffer {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  // To the nearest, ties to even.
  return Buffer.from(Uint16Array.from(bits, (word) => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16).buffer)
}

/** Writes a block's values at `at`; returns its scale. */
function writeBytes(values: Float32Array, to: Buffer, at: number): number {
  const scale = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0) / 127
  for (const [i, value] of values.entries()) to.writeInt8(scale && Math.round(value / scale), at + i)
  return scale
}

/** The value that is farthest from zero becomes -8; a byte holds element i and element i + 16. */
function writeNibbles(values: Float32Array, to: Buffer, at: number): number {
  const farthest = values.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0)
  const scale = farthest / -8
  const nibble = (value: number) => (scale ? Math.min(15, Math.floor(value / scale + 8.5)) : 8)
  for (let i = 0; i < BLOCK / 2; i++) to[at + i] = nibble(values[i]) | (nibble(values[i + BLOCK / 2]) << 4)
  return scale
}
