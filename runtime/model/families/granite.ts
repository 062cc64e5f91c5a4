import { type Family, llamaLike } from '../architecture.ts'

/** transformers/models/granite: Llama with four multipliers. */
export const granite: Family = {
  modelTypes: ['granite'],
  architecture: (config) => ({
    ...llamaLike(config),
    embeddingScale: config.number('embedding_multiplier', 1),
    residualScale: config.number('residual_multiplier', 1),
    attentionScale: config.number('attention_multiplier', 1),
    logitsScale: 1 / config.positive('logits_scaling', 1),
  }),
}
