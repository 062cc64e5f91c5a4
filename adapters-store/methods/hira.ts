/** HiRA (Huang et al., 2025). peft 0.21, tuners/hira/layer.py: ΔW = W ⊙ (B A). As full a rank as W has, so it is written out. */
import { multiplyElements, rowRange } from '../arithmetic.ts'
import { ignored } from '../config.ts'
import { multipliedOut } from '../fold.ts'
import { requireRank } from './lora.ts'
import type { Method } from './method.ts'

export const hira: Method = {
  peftType: 'HIRA',
  config: {
    r: ignored,
    rank_pattern: ignored,
    hira_dropout: ignored,
    init_weights: ignored,
  },
  parameters: ['hira_A'],
  // PEFT leaves out the embedding scale of Gemma for hira_embedding, so what it means there depends on the model.
  sites: ['linear', 'head'],
  prepare({ base, config }) {
    return (tensors) => {
      const { site } = tensors
      const a = tensors.take('hira_A', [null, site.inFeatures])
      const rank = a.shape[0]
      const b = tensors.take('hira_B', [site.outFeatures, rank]).data
      requireRank(config, rank, site.module, 32)
      const product = multipliedOut(site, { rank, a: a.data, b: { columns: b }, scale: 1 })
      const weights = base.matrix(site.weight)
      return {
        dense: {
          count: product.count,
          rows(first, into) {
            product.rows(first, into)
            multiplyElements(into, rowRange(weights, first, into.length / site.inFeatures))
          },
        },
      }
    }
  },
}
