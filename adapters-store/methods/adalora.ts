/**
 * AdaLoRA (Zhang et al., 2023). peft 0.21, tuners/adalora/layer.py: ΔW = alpha / (init_r + 1e-5) · B (A ⊙ E). The tensors are saved cut to the
 * ranks that were kept, but the scale keeps init_r (model.py, resize_modules_by_rank_pattern).
 */
import { ignored, off } from '../config.ts'
import { type Fold, smallerOf } from '../fold.ts'
import { LORA_CONFIG } from './lora.ts'
import type { Method } from './method.ts'

export const adalora: Method = {
  peftType: 'ADALORA',
  config: {
    ...LORA_CONFIG,
    alora_invocation_tokens: off('AdaLoRA has no invocation tokens'),
    use_dora: off('AdaLoRA has no DoRA'),
    lora_bias: off('AdaLoRA has no bias'),
    target_r: ignored,
    init_r: ignored,
    tinit: ignored,
    tfinal: ignored,
    deltaT: ignored,
    beta1: ignored,
    beta2: ignored,
    orth_reg_weight: ignored,
    total_step: ignored,
  },
  parameters: ['lora_A', 'lora_E'],
  sites: ['linear', 'head'],
  prepare({ config }) {
    const alpha = config.number('lora_alpha', 8)
    const initialRank = config.number('init_r', 12)
    return (tensors): Fold => {
      const { site } = tensors
      const a = tensors.take('lora_A', [null, site.inFeatures])
      const rank = a.shape[0]
      const b = tensors.take('lora_B', [site.outFeatures, rank])
      const e = tensors.take('lora_E', [rank, 1]).data
      if (rank === 0) return {} // every rank was pruned
      const rows = a.data.map((value, i) => value * e[Math.floor(i / site.inFeatures)])
      const scale = (alpha > 0 ? alpha : rank) / (initialRank + 1e-5)
      return smallerOf(site, { rank, a: rows, b: { columns: b.data }, scale })
    }
  },
}
