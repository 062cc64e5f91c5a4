/** The cos and sin tables of a rope (transformers' modeling_rope_utils.py; formulas alone). */
import type { Rope } from './rope.ts'

/** cos and sin, each [positions, rotaryDim / 2] row-major. Angles are rounded to float32 as transformers does, so that far positions agree. */
export function ropeTables(rope: Rope, positions: number): { cos: Float32Array; sin: Float32Array } {
  const { frequencies, factor } = inverseFrequencies(rope)
  const half = frequencies.length
  const cos = new Float32Array(positions * half)
  const sin = new Float32Array(positions * half)
  for (let p = 0; p < positions; p++)
    for (let i = 0; i < half; i++) {
      const angle = Math.fround(p * frequencies[i])
      cos[p * half + i] = Math.cos(angle) * factor
      sin[p * half + i] = Math.sin(angle) * factor
    }
  return { cos, sin }
}

function inverseFrequencies(rope: Rope): { frequencies: Float32Array; factor: number } {
  const half = rope.rotaryDim / 2
  const plain = Float32Array.from({ length: half }, (_, i) => rope.theta ** ((-2 * i) / rope.rotaryDim))
  const p = rope.parameters as Record<string, number>
  switch (rope.type) {
    case 'linear':
      return { frequencies: plain.map((f) => f / p.factor), factor: 1 }
    case 'llama3':
      return { frequencies: plain.map((f) => llama3(f, p)), factor: 1 }
    case 'yarn':
      return yarn(rope, plain)
    case 'longrope': {
      const short = rope.parameters.short_factor as number[]
      return { frequencies: plain.map((f, i) => f / short[i]), factor: p.attention_factor }
    }
    case 'default':
      return { frequencies: plain, factor: 1 }
  }
}

/** Llama 3.1: long wavelengths are stretched by `factor`, short ones kept, those between blended. */
function llama3(frequency: number, p: Record<string, number>): number {
  const wavelength = (2 * Math.PI) / frequency
  const turns = p.original_max_position_embeddings / wavelength
  if (turns < p.low_freq_factor) return frequency / p.factor
  if (turns > p.high_freq_factor) return frequency
  const keep = (turns - p.low_freq_factor) / (p.high_freq_factor - p.low_freq_factor)
  return (1 - keep) * (frequency / p.factor) + keep * frequency
}

/** YaRN (Peng et al. 2023, sections 3.2–3.4): a ramp over the channels between interpolation and extrapolation, and an attention factor. */
function yarn(rope: Rope, plain: Float32Array): { frequencies: Float32Array; factor: number } {
  const p = rope.parameters as Record<string, number | undefined>
  const stretch = p.factor as number
  const dim = rope.rotaryDim
  const channel = (rotations: number) =>
    (dim * Math.log((p.original_max_position_embeddings as number) / (rotations * 2 * Math.PI))) / (2 * Math.log(rope.theta))
  let low = channel(p.beta_fast ?? 32)
  let high = channel(p.beta_slow ?? 1)
  if ((rope.parameters.truncate as boolean | undefined) ?? true) {
    low = Math.floor(low)
    high = Math.ceil(high)
  }
  low = Math.max(low, 0)
  high = Math.min(high, dim - 1)
  if (low === high) high += 0.001
  const magnitude = (m: number) => (stretch <= 1 ? 1 : 0.1 * m * Math.log(stretch) + 1)
  const factor =
    p.attention_factor ?? (p.mscale && p.mscale_all_dim ? magnitude(p.mscale) / magnitude(p.mscale_all_dim) : magnitude(1))
  return {
    frequencies: plain.map((f, i) => {
      const interpolate = Math.min(1, Math.max(0, (i - low) / (high - low)))
      return (f / stretch) * interpolate + f * (1 - interpolate)
    }),
    factor,
  }
}
