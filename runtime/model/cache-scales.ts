/**
 * Scales of an 8-bit KV cache: x is kept as round(x / scale), one scale for all keys of a layer and one for all values. A checkpoint holds them where it was
 * calibrated for such a cache; the names are those that vLLM's loader knows (compressed-tensors, ModelOpt, Quark, and one scale for both in old files).
 */
import type { Config } from './config.ts'
import { ModelError } from './errors.ts'
import type { Weights } from './weights.ts'

const NAMES = {
  k: ['k_scale', 'attn.k_scale', 'k_proj.k_scale', 'k_proj.output_scale', 'kv_scale'],
  v: ['v_scale', 'attn.v_scale', 'v_proj.v_scale', 'v_proj.output_scale', 'kv_scale'],
}

/** The largest number of each type: a scale maps the largest magnitude seen in calibration to it. */
const LARGEST = { float8: 448, int8: 127 }
export type CacheScheme = keyof typeof LARGEST

export interface CacheScales {
  k: number
  v: number
}

/** What the scales in the checkpoint were made for: `quantization_config.kv_cache_scheme` says it, otherwise float8. Throws ModelError for other schemes. */
export function cacheScheme(config: Config): CacheScheme {
  const { kv_cache_scheme: scheme } = (config.object('quantization_config') ?? {}) as {
    kv_cache_scheme?: { num_bits?: unknown; type?: unknown; symmetric?: unknown } | null
  }
  if (!scheme) return 'float8'
  if (scheme.num_bits !== 8 || (scheme.type !== 'float' && scheme.type !== 'int') || scheme.symmetric === false)
    throw config.unsupported(
      'quantization_config.kv_cache_scheme',
      'is not supported: it must have 8 bits, be of type float or int, and symmetric',
    )
  return scheme.type === 'float' ? 'float8' : 'int8'
}

/**
 * The scales of one layer. Scales made for the other 8-bit type are brought to this one by their largest numbers (448 and 127). Without any in the
 * checkpoint: 1 for float8, which covers ±448 with a relative precision of 1/16, as vLLM does; int8 has no such default, since its steps are even.
 */
export function readCacheScales(weights: Weights, attention: string, cache: CacheScheme, scheme: CacheScheme): CacheScales {
  const read = (names: string[]): number => {
    const name = names.map((one) => `${attention}.${one}`).find((one) => weights.tensors[one])
    if (name) return scaleOf(weights, name) * (LARGEST[scheme] / LARGEST[cache])
    if (cache === 'float8') return 1
    throw new ModelError(
      'tensor_missing',
      `an int8 KV cache needs the checkpoint's scales: it has no ${attention}.${names[0]}. Use a checkpoint calibrated for it, or a float8 or 16-bit KV cache`,
    )
  }
  return { k: read(NAMES.k), v: read(NAMES.v) }
}

function scaleOf(weights: Weights, name: string): number {
  const { shape } = weights.tensors[name]
  if (shape.reduce((product, d) => product * d, 1) !== 1)
    throw new ModelError('tensor_invalid', `tensor ${name} has shape [${shape}]; supported is one scale for all heads`)
  const [scale] = weights.read(name, shape)
  if (!(scale > 0) || scale === Number.POSITIVE_INFINITY)
    throw new ModelError('tensor_invalid', `tensor ${name} is ${scale}; a scale must be positive`)
  return scale
}
