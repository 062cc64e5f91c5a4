import { type Architecture, type Family, llamaLike, type Reading } from '../architecture.ts'
import type { Config, Json, LayerType } from '../config.ts'
import { type Rope, ropeOf } from '../rope.ts'

/** Without `layer_types`, every layer but each `pattern`-th slides. */
const everyNthFull =
  (pattern: number) =>
  (layer: number): LayerType =>
    (layer + 1) % pattern ? 'sliding_attention' : 'full_attention'

/** What Gemma 2 and 3 share: norms around both blocks stored as w − 1, a scaled embedding, tied weights, query_pre_attn_scalar. */
function gemmaLike(config: Config, reading: Reading): Architecture {
  if (config.json.use_bidirectional_attention)
    throw config.unsupported('use_bidirectional_attention', 'is not supported: attention here is causal')
  const activation = { key: 'hidden_activation', fallback: 'gelu_pytorch_tanh' }
  const base = llamaLike(config, { tied: true, headDim: 256, window: 4096, activation, ...reading })
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
    embeddingScale: base.hiddenSize ** 0.5,
    attentionScale: config.positive('query_pre_attn_scalar', 256) ** -0.5,
    wideRange: true,
  }
}

/** transformers/models/gemma2: soft caps on scores and logits. */
export const gemma2: Family = {
  modelTypes: ['gemma2'],
  architecture: (config) => ({
    ...gemmaLike(config, { maxPositions: 8192, layerType: everyNthFull(2) }),
    attentionSoftcap: config.positiveOr(0, 'attn_logit_softcapping', 50),
    logitsSoftcap: config.positiveOr(0, 'final_logit_softcapping', 30),
  }),
}

/**
 * A rope for each kind of layer: `rope_parameters` by kind, or in older configs `rope_theta` and `rope_scaling` for the full layers and
 * `rope_local_base_freq` for the sliding ones.
 */
function gemma3Rope(config: Config, headDim: number, kind: LayerType): Rope {
  const byKind = config.object('rope_parameters')
  if (byKind && !('full_attention' in byKind || 'sliding_attention' in byKind))
    throw config.invalid('rope_parameters', 'an object with full_attention and sliding_attention')
  const full = kind === 'full_attention'
  const theta = full ? config.number('rope_theta', 1_000_000) : config.number('rope_local_base_freq', 10_000)
  const scaling = full ? config.object('rope_scaling') : undefined
  return ropeOf(config, headDim, { rope_theta: theta, ...(byKind?.[kind] as Json | null), ...scaling })
}

/** transformers/models/gemma3 (text): qk norm, two ropes; `attn_logit_softcapping` is in its config, but nothing there reads it. */
export const gemma3: Family = {
  modelTypes: ['gemma3_text'],
  architecture: (config) => ({
    ...gemmaLike(config, {
      maxPositions: 131072,
      layerType: everyNthFull(config.count('sliding_window_pattern', 6)),
      rope: (headDim, kind) => gemma3Rope(config, headDim, kind),
    }),
    qkNorm: 'head',
    logitsSoftcap: config.positiveOr(0, 'final_logit_softcapping', 0),
  }),
}
