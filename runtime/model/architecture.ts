/** What a decoder model is, as data: the families fill this in, the graph builder reads it. The default is Llama. */
import { type Config, type LayerType, shown } from './config.ts'
import { type Rope, readRope } from './rope.ts'

export type Activation = 'silu' | 'gelu' | 'gelu_tanh' | 'relu'

export interface Layer {
  rope: Rope
  /** Tokens that a query sees, itself included; -1 = all. */
  window: number
}

/** Names of a layer's norms below `model.layers.N.`; absent where the family has none in that place. */
export interface LayerNorms {
  beforeAttention?: string
  afterAttention?: string
  beforeMlp?: string
  afterMlp?: string
}

export interface Architecture {
  hiddenSize: number
  intermediateSize: number
  heads: number
  kvHeads: number
  headDim: number
  vocabSize: number
  maxPositions: number
  tiedEmbeddings: boolean
  layers: Layer[]
  normEpsilon: number
  /** Added to every norm's weight (Gemma stores w − 1). */
  normOffset: 0 | 1
  norms: LayerNorms
  /** RMS norm of q and k (`q_norm`, `k_norm`): each head by itself, or the whole projection. */
  qkNorm: 'none' | 'head' | 'projection'
  /** `qkv_proj` and `gate_up_proj` instead of separate projections. */
  fused: boolean
  bias: { qkv: boolean; o: boolean; mlp: boolean }
  activation: Activation
  /** Factors: on the embedding, on what a block adds to the residual, on q·k, on the logits. */
  embeddingScale: number
  residualScale: number
  attentionScale: number
  logitsScale: number
  /** cap · tanh(x / cap); 0 = none. */
  attentionSoftcap: number
  logitsSoftcap: number
  /** Activations leave float16's range (65,504): trained in bfloat16, with scaled embeddings and large residuals. */
  wideRange: boolean
}

/** One model family: the `model_type`s it serves and what differs from Llama. */
export interface Family {
  modelTypes: string[]
  architecture(config: Config): Architecture
}

const ACTIVATIONS: Record<string, Activation> = {
  silu: 'silu',
  swish: 'silu',
  gelu: 'gelu',
  gelu_pytorch_tanh: 'gelu_tanh',
  gelu_new: 'gelu_tanh',
  relu: 'relu',
}

function activation(config: Config, key: string, fallback: string): Activation {
  const name = config.text(key, fallback)
  const found = Object.hasOwn(ACTIVATIONS, name) ? ACTIVATIONS[name] : undefined
  if (!found)
    throw config.unsupported(key, `${shown(name)} is not supported; supported are ${Object.keys(ACTIVATIONS).join(', ')}`)
  return found
}

/**
 * How a family reads config.json where it differs from Llama. A saved config may be silent on any key: what it then means is the default of the
 * family's configuration_*.py, and a key that a family's modeling_*.py ignores must not act here either.
 */
export interface Reading {
  tied?: boolean
  headDim?: number
  maxPositions?: number
  normEpsilon?: number
  activation?: { key: string; fallback: string }
  /** Kind of each layer where there is no `layer_types`. Absent: the family has no such key, its layers are all alike. */
  layerType?: (layer: number) => LayerType
  /** `sliding_window` of the sliding layers. */
  window?: number
  rope?: (headDim: number, layerType: LayerType) => Rope
}

/** Llama's shape and reading of config.json, which every family starts from. */
export function llamaLike(config: Config, reading: Reading = {}): Architecture {
  const hiddenSize = config.count('hidden_size')
  const heads = config.count('num_attention_heads')
  const kvHeads = config.count('num_key_value_heads', heads)
  const headDim = config.count('head_dim', reading.headDim ?? hiddenSize / heads)
  if (heads % kvHeads) throw config.invalid('num_key_value_heads', `a divisor of num_attention_heads (${heads})`)
  const types = config.layerTypes(config.count('num_hidden_layers'), reading.layerType)
  const window = types.includes('sliding_attention') ? config.count('sliding_window', reading.window) : -1
  const rope = reading.rope ?? (() => readRope(config, headDim))
  const layers = types.map((type) => ({ rope: rope(headDim, type), window: type === 'sliding_attention' ? window : -1 }))
  return {
    hiddenSize,
    intermediateSize: config.count('intermediate_size'),
    heads,
    kvHeads,
    headDim,
    vocabSize: config.count('vocab_size'),
    maxPositions: Math.min(
      config.count('max_position_embeddings', reading.maxPositions),
      ...layers.map((layer) => layer.rope.maxPositions),
    ),
    tiedEmbeddings: config.flag('tie_word_embeddings', reading.tied ?? false),
    layers,
    normEpsilon: config.positive('rms_norm_eps', reading.normEpsilon ?? 1e-6),
    normOffset: 0,
    norms: { beforeAttention: 'input_layernorm', beforeMlp: 'post_attention_layernorm' },
    qkNorm: 'none',
    fused: false,
    bias: {
      qkv: config.flag('attention_bias', false),
      o: config.flag('attention_bias', false),
      mlp: config.flag('mlp_bias', false),
    },
    activation: activation(config, reading.activation?.key ?? 'hidden_act', reading.activation?.fallback ?? 'silu'),
    embeddingScale: 1,
    residualScale: 1,
    attentionScale: headDim ** -0.5,
    logitsScale: 1,
    attentionSoftcap: 0,
    logitsSoftcap: 0,
    wideRange: false,
  }
}
