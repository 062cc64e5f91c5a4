import { type Architecture, type Family, llamaLike } from '../architecture.ts'
import type { Config } from '../config.ts'

/** Without `layer_types`, layers from `max_window_layers` on slide where `use_sliding_window` says so. */
function withWindows(config: Config, base: Architecture): Architecture {
  if (config.has('layer_types') || !config.flag('use_sliding_window', false)) return base
  const window = config.count('sliding_window')
  const from = config.number('max_window_layers', 28)
  return { ...base, layers: base.layers.map((layer, i) => ({ ...layer, window: i >= from ? window : -1 })) }
}

/** transformers/models/qwen2: q, k and v have biases, whatever config.json says of attention_bias. */
export const qwen2: Family = {
  modelTypes: ['qwen2'],
  architecture: (config) => ({ ...withWindows(config, llamaLike(config)), bias: { qkv: true, o: false, mlp: false } }),
}

/** transformers/models/qwen3: q and k are normalised head by head. */
export const qwen3: Family = {
  modelTypes: ['qwen3'],
  architecture(config) {
    const base = withWindows(config, llamaLike(config, { headDim: 128 }))
    return { ...base, qkNorm: 'head', bias: { ...base.bias, mlp: false } }
  },
}
