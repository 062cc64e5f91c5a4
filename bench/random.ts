/** Seeded random weights, fast enough for a hundred million of them. */

/** Fills with uniform numbers of the given standard deviation (xorshift32: good enough for weights nobody reads). Returns the next seed. */
export function fillUniform(target: Float32Array, deviation: number, seed: number): number {
  const scale = (2 * Math.sqrt(3) * deviation) / 0x1_0000_0000
  const offset = Math.sqrt(3) * deviation
  let state = seed | 0 || 1
  for (let i = 0; i < target.length; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    target[i] = (state >>> 0) * scale - offset
  }
  return state
}

/** Float32 to IEEE half, to nearest; for the small magnitudes of weights (no infinities). */
export function toHalf(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const halves = new Uint16Array(values.length)
  for (let i = 0; i < values.length; i++) {
    const b = bits[i]
    const exponent = ((b >>> 23) & 0xff) - 112
    // Below the normal range weights become zero: 6e-5 of a weight of 0.02 on average is nothing to a benchmark.
    const magnitude = exponent <= 0 ? 0 : ((exponent << 10) | ((b >>> 13) & 0x3ff)) + ((b >>> 12) & 1)
    halves[i] = ((b >>> 16) & 0x8000) | magnitude
  }
  return halves
}
