import { type Family, llamaLike } from '../architecture.ts'

/** transformers/models/olmo2: norms after the blocks only, and q and k normalised as whole projections. */
export const olmo2: Family = {
  modelTypes: ['olmo2'],
  architecture(config) {
    const base = llamaLike(config, { normEpsilon: 1e-5 })
    return {
      ...base,
      norms: { afterAttention: 'post_attention_layernorm', afterMlp: 'post_feedforward_layernorm' },
      qkNorm: 'projection',
      bias: { ...base.bias, mlp: false },
    }
  },
}
