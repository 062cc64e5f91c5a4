import { type Architecture, activation, type Family, type Layer, llamaLike } from '../architecture.ts'
import type { Config } from '../config.ts'
import { readRope } from '../rope.ts'

/** What Gemma 2 and 3 share: norms around both blocks stored as w − 1, a scaled embedding, tied weights, query_pre_attn_scalar. */
function gemmaLike(config: Config): Architecture {
  if (config.json.use_bidirectional_attention)
    throw config.unsupported('use_bidirectional_attention', 'is not supported: attention here is causal')
  const base = llamaLike(config, { tied: true, headDim: 256, maxPositions: config.json.model_type === 'gemma2' ? 8192 : 131072 })
  return {
    ...base,
    normOffset: 1,
    norms: {
      beforeAttention: 'input_layernorm',
      afterAttention: 'post_attention_layernorm',
      beforeMlp: 'pre_feedforward_layernorm',
      afterMlp: 'post_feedforward_layernorm',
    },
    bias: { ...base.bias, mlp: false },
    activation: activation(config, config.has('hidden_activation') ? 'hidden_activation' : 'hidden_act'),
    embeddingScale: base.hiddenSize ** 0.5,
    attentionScale: config.number('query_pre_attn_scalar', 256) ** -0.5,
    attentionSoftcap: config.optionalNumber('attn_logit_softcapping') ?? 0,
    logitsSoftcap: config.optionalNumber('final_logit_softcapping') ?? 0,
  }
}

/** Every layer but each `pattern`-th slides. */
function layersOfPattern(config: Config, layers: Layer[], pattern: number): Layer[] {
  if (config.has('layer_types')) return layers
  const window = config.count('sliding_window', 4096)
  return layers.map((layer, i) => ({ ...layer, window: (i + 1) % pattern ? window : -1 }))
}

/** transformers/models/gemma2. */
export const gemma2: Family = {
  modelTypes: ['gemma2'],
  architecture(config) {
    const base = gemmaLike(config)
    return { ...base, layers: layersOfPattern(config, base.layers, 2) }
  },
}

/** transformers/models/gemma3 (text): qk norm, and a rope of its own for the sliding layers. */
export const gemma3: Family = {
  modelTypes: ['gemma3_text'],
  architecture(config) {
    const base = gemmaLike(config)
    const pattern = config.count('sliding_window_pattern', config.count('_sliding_window_pattern', 6))
    const layers = layersOfPattern(config, base.layers, pattern)
    if (config.has('rope_parameters')) return { ...base, qkNorm: 'head', layers }
    // Older configs: rope_theta and rope_scaling are the full layers', rope_local_base_freq the sliding ones'.
    const full = readRope(config, base.headDim, undefined, 1_000_000)
    const local = {
      type: 'default',
      theta: config.number('rope_local_base_freq', 10_000),
      rotaryDim: full.rotaryDim,
      parameters: {},
    }
    return { ...base, qkNorm: 'head', layers: layers.map((layer) => ({ ...layer, rope: layer.window < 0 ? full : local })) }
  },
}
