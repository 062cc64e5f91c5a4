/** HiRA (Huang et al., 2025). peft 0.21, tuners/hira/layer.py: ΔW = W ⊙ (B A). As full a rank as W has, so it is written out. */
import { ignored } from '../config.ts'
import { transpose } from '../factors.ts'
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
      const product = multipliedOut(site, { rank, a: a.data, b: transpose(b, site.outFeatures, rank), scale: 1 })
      const weights = base.rows(site.weight)
      return {
        dense: {
          count: product.count,
          row(o, into) {
            product.row(o, into)
            const row = weights.row(o)
            for (let i = 0; i < into.length; i++) into[i] *= row[i]
          },
        },
      }
    }
  },
}
