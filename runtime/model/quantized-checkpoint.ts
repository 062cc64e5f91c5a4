/** Checkpoints whose weights are quantized in a way that is not read: why, and what to serve in their place (docs/checkpoints.md). What is read: stored/. */
import { type Config, type Json, shown } from './config.ts'
import type { ModelError } from './errors.ts'

const KEY = 'quantization_config'

/** What gives weights of about that size from the checkpoint that was quantized. */
const sameSize = (bits: unknown): string =>
  bits === 4 || bits === 8 ? `; --quantization int${bits} rounds its weights to ${bits} bits while they are loaded` : ''

/** Bits of compressed-tensors' weights, where all groups have the same. */
function bitsOfGroups(groups: unknown): unknown {
  if (typeof groups !== 'object' || groups === null) return undefined
  const bits = new Set(
    Object.values(groups).map((group) => (group as { weights?: { num_bits?: unknown } } | null)?.weights?.num_bits),
  )
  return bits.size === 1 ? [...bits][0] : undefined
}

/** The refusal of a config whose weights are not floats. `why`: what of its method is not read; empty where none of it is. */
export function unreadWeights(config: Config, quantization: Json, why = ''): ModelError {
  const {
    quant_method: method,
    bits,
    w_bit: awqBits,
    load_in_4bit: four,
    load_in_8bit: eight,
    config_groups: groups,
  } = quantization
  const named =
    four === true ? 4 : eight === true ? 8 : (bits ?? awqBits ?? bitsOfGroups(groups) ?? (method === 'fp8' ? 8 : undefined))
  return config.unsupported(
    KEY,
    `says ${typeof method === 'string' ? shown(method) : 'that the weights are quantized'}: is not supported: ${why || 'of weights that are quantized already, those of AWQ, GPTQ and compressed-tensors are read'}. ` +
      `Serve the checkpoint in float32, float16 or bfloat16 that it was made from${sameSize(named)}`,
  )
}

/** Names that formats keep a weight's numbers under, in the place of `weight`. */
const IN_PLACE = ['qweight', 'weight_packed', 'weight_quantized']

/** The tensor that stands for a weight which the checkpoint lacks, if it is one of a quantized checkpoint's. */
export const standsFor = (name: string, tensors: Record<string, unknown>): string | undefined =>
  IN_PLACE.map((one) => name.replace(/weight$/, one)).find((one) => one !== name && Object.hasOwn(tensors, one))
