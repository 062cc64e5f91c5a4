/** Rotary position embedding as config.json describes it, read and checked. The tables it gives are in rope-tables.ts. */
import { type Config, type Json, shown } from './config.ts'

export interface Rope {
  type: RopeType
  theta: number
  /** Rotated channels of a head; even. */
  rotaryDim: number
  /** Positions that the tables may cover; longrope's short factors hold for its original context only. */
  maxPositions: number
  parameters: Json
}

/** The numbers that a type cannot do without. `original_max_position_embeddings` is the model's context where it is not given. */
const REQUIRED = {
  default: [],
  linear: ['factor'],
  llama3: ['factor', 'low_freq_factor', 'high_freq_factor'],
  yarn: ['factor'],
  longrope: [],
} as const
type RopeType = keyof typeof REQUIRED

/** These are derived from others, or have a default, where they are absent or null. */
const OPTIONAL = ['factor', 'attention_factor', 'beta_fast', 'beta_slow', 'mscale', 'mscale_all_dim']

/** The rope settings of a config as they stand there. `rope_scaling`, the older key, is also how a stretch is added to a config by hand, and wins. */
export function ropeParameters(config: Config): Json {
  const scaling = config.object('rope_scaling')
  return scaling && Object.keys(scaling).length > 0 ? scaling : (config.object('rope_parameters') ?? {})
}

/** One rope for all layers, turning whole heads: every family's but Gemma 3's and Phi-3's. */
export function readRope(config: Config, headDim: number): Rope {
  const parameters = ropeParameters(config)
  const type = `model_type ${config.json.model_type}`
  if ('full_attention' in parameters || 'sliding_attention' in parameters)
    throw config.unsupported('rope_parameters', `differ by layer type, which ${type} does not have`)
  if ((parameters.partial_rotary_factor ?? config.json.partial_rotary_factor ?? 1) !== 1)
    throw config.unsupported('partial_rotary_factor', `is not 1: ${type} rotates whole heads`)
  return ropeOf(config, headDim, parameters)
}

/** Checks rope settings and completes them from the config's other keys. */
export function ropeOf(config: Config, headDim: number, parameters: Json): Rope {
  const name = String(parameters.rope_type ?? parameters.type ?? 'default')
  if (!Object.hasOwn(REQUIRED, name))
    throw config.unsupported('rope type', `${shown(name)} is not supported; supported are ${Object.keys(REQUIRED).join(', ')}`)
  const type = name as RopeType
  const theta = parameters.rope_theta ?? config.number('rope_theta', 10_000)
  if (typeof theta !== 'number' || !(theta > 0)) throw config.invalid('rope_theta', 'positive', theta)
  const rotaryDim = Math.floor(headDim * Number(parameters.partial_rotary_factor ?? 1))
  if (!(rotaryDim > 0) || rotaryDim > headDim || rotaryDim % 2)
    throw config.unsupported(
      'partial_rotary_factor',
      `rotates ${rotaryDim} of ${headDim} channels; it must be an even number of them`,
    )
  const complete: Json = {
    ...parameters,
    original_max_position_embeddings:
      parameters.original_max_position_embeddings ??
      config.json.original_max_position_embeddings ??
      config.json.max_position_embeddings,
  }
  const given = OPTIONAL.filter((key) => (complete[key] ?? undefined) !== undefined)
  const needed = [
    ...given,
    ...REQUIRED[type],
    ...(type === 'default' || type === 'linear' ? [] : ['original_max_position_embeddings']),
  ]
  for (const key of needed) {
    const value = complete[key]
    if (typeof value !== 'number' || !(value > 0)) throw config.invalid(`rope_scaling.${key}`, 'a positive number', value)
  }
  const rope: Rope = { type, theta, rotaryDim, maxPositions: Number.POSITIVE_INFINITY, parameters: complete }
  return type === 'longrope' ? longrope(config, rope) : rope
}

/**
 * Longrope turns by `short_factor` up to the original context and by `long_factor` beyond, then from the sequence's first token on: one table
 * cannot hold both, so what is served is the original context.
 */
function longrope(config: Config, rope: Rope): Rope {
  const { short_factor: short, factor, attention_factor } = rope.parameters
  if (!Array.isArray(short) || short.length !== rope.rotaryDim / 2 || !short.every((f) => typeof f === 'number' && f > 0))
    throw config.invalid('rope_scaling.short_factor', `a list of ${rope.rotaryDim / 2} positive numbers`, short)
  const original = rope.parameters.original_max_position_embeddings as number
  const stretch = (factor as number | undefined) ?? config.count('max_position_embeddings') / original
  const magnitude = attention_factor ?? (stretch <= 1 ? 1 : Math.sqrt(1 + Math.log(stretch) / Math.log(original)))
  return { ...rope, maxPositions: original, parameters: { ...rope.parameters, attention_factor: magnitude } }
}
