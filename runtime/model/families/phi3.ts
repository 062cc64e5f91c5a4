import { type Family, llamaLike } from '../architecture.ts'

/** transformers/models/phi3: fused projections, partial rotary, an optional window. (longrope is refused with the other unknown rope types.) */
export const phi3: Family = {
  modelTypes: ['phi3'],
  architecture(config) {
    const base = llamaLike(config)
    const window = config.optionalNumber('sliding_window') ?? -1
    return {
      ...base,
      fused: true,
      layers: base.layers.map((layer) => ({ ...layer, window })),
      bias: { qkv: false, o: false, mlp: false },
    }
  },
}
