import { type Family, llamaLike } from '../architecture.ts'

/** transformers/models/mistral: Llama with one sliding window for all layers; none where the config says null, 4096 where it is silent. */
export const mistral: Family = {
  modelTypes: ['mistral'],
  architecture(config) {
    const base = llamaLike(config)
    const window = config.window(4096)
    return { ...base, layers: base.layers.map((layer) => ({ ...layer, window })), bias: { qkv: false, o: false, mlp: false } }
  },
}
