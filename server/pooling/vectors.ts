/** Vectors of answers: lengths, cosines, and how they are written. */

function lengthOf(vector: Float32Array): number {
  let squares = 0
  for (const value of vector) squares += value * value
  return Math.sqrt(squares)
}

/** Of length 1; zeros stay zeros, as torch.nn.functional.normalize leaves them. */
export function normalized(vector: Float32Array): Float32Array {
  const length = Math.max(lengthOf(vector), 1e-12)
  return vector.map((value) => value / length)
}

export function cosine(one: Float32Array, other: Float32Array): number {
  let product = 0
  for (const [i, value] of one.entries()) product += value * other[i]
  return product / Math.max(lengthOf(one) * lengthOf(other), 1e-12)
}

/** As `encoding_format` wants it: numbers, or the bytes of little-endian float32 in base64. */
export function written(vector: Float32Array, format: unknown): number[] | string {
  if (format !== 'base64') return Array.from(vector)
  const bytes = Buffer.alloc(vector.length * 4)
  for (const [i, value] of vector.entries()) bytes.writeFloatLE(value, i * 4)
  return bytes.toString('base64')
}
