import { type Architecture, type Family, llamaLike } from '../architecture.ts'
import type { Config } from '../config.ts'

/** Layers from `max_window_layers` on slide, but only where `use_sliding_window` says so. */
function qwenLike(config: Config, headDim?: number): Architecture {
  const sliding = config.flag('use_sliding_window', false)
  const from = config.number('max_window_layers', 28)
  const layerType = (layer: number) => (sliding && layer >= from ? 'sliding_attention' : 'full_attention')
  const base = llamaLike(config, { headDim, layerType, window: 4096 })
  if (!sliding && base.layers.some((layer) => layer.window > 0))
    throw config.invalid('use_sliding_window', 'true where layer_types names sliding_attention')
  return base
}

/** transformers/models/qwen2: q, k and v have biases, whatever config.json says of attention_bias. */
export const qwen2: Family = {
  modelTypes: ['qwen2'],
  architecture: (config) => ({ ...qwenLike(config), bias: { qkv: true, o: false, mlp: false } }),
}

/** transformers/models/qwen3: q and k are normalised head by head. */
export const qwen3: Family = {
  modelTypes: ['qwen3'],
  architecture(config) {
    const base = qwenLike(config, 128)
    return { ...base, qkNorm: 'head', bias: { ...base.bias, mlp: false } }
  },
}
