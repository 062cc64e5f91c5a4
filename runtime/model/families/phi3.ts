import { type Family, llamaLike } from '../architecture.ts'
import type { Config } from '../config.ts'
import { type Rope, ropeOf, ropeParameters } from '../rope.ts'

/** Phi-3 alone rotates a part of each head, and calls longrope by older names too; its original context has a default of its own. */
function readRope(config: Config, headDim: number): Rope {
  const parameters = ropeParameters(config)
  const type = parameters.rope_type ?? parameters.type
  return ropeOf(config, headDim, {
    ...parameters,
    rope_type: type === 'su' || type === 'yarn' ? 'longrope' : type,
    partial_rotary_factor: parameters.partial_rotary_factor ?? config.number('partial_rotary_factor', 1),
    original_max_position_embeddings: config.count('original_max_position_embeddings', 4096),
  })
}

/** transformers/models/phi3: fused projections, partial rotary, longrope, an optional window. */
export const phi3: Family = {
  modelTypes: ['phi3'],
  architecture(config) {
    const base = llamaLike(config, { normEpsilon: 1e-5, rope: (headDim) => readRope(config, headDim) })
    const window = config.window(-1)
    return {
      ...base,
      fused: true,
      layers: base.layers.map((layer) => ({ ...layer, window })),
      bias: { qkv: false, o: false, mlp: false },
    }
  },
}
