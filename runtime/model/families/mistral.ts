import { type Family, llamaLike } from '../architecture.ts'

/** transformers/models/mistral: Llama with one sliding window for all layers. */
export const mistral: Family = {
  modelTypes: ['mistral'],
  architecture(config) {
    const base = llamaLike(config)
    const window = config.optionalNumber('sliding_window') ?? -1
    return { ...base, layers: base.layers.map((layer) => ({ ...layer, window })), bias: { qkv: false, o: false, mlp: false } }
  },
}
