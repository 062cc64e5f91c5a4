/**
 * DeLoRA (Bini et al., 2025). peft 0.21, tuners/delora/layer.py: ΔW = B diag((λ / r) / (‖a_j‖ ‖b_j‖)) A diag(w_norm), norms at least 1e-4; w_norm is
 * saved with the adapter.
 */
import { ignored } from '../config.ts'
import { smallerOf } from '../fold.ts'
import { requireRank } from './lora.ts'
import type { Method } from './method.ts'

const SMALLEST_NORM = 1e-4

export const delora: Method = {
  peftType: 'DELORA',
  config: {
    r: ignored, // read where it is used
    rank_pattern: ignored,
    delora_lambda: ignored, // the first value of the tensor
    lambda_pattern: ignored,
    module_dropout: ignored,
    init_weights: ignored,
  },
  parameters: ['delora_A', 'delora_B'],
  sites: ['linear', 'head'],
  prepare({ config }) {
    return (tensors) => {
      const { site } = tensors
      const { inFeatures, outFeatures } = site
      const a = tensors.take('delora_A', [null, inFeatures])
      const rank = a.shape[0]
      requireRank(config, rank, site.module)
      const b = tensors.take('delora_B', [outFeatures, rank]).data
      const [lambda] = tensors.take('delora_lambda', [1]).data
      const inputNorms = tensors.take('delora_w_norm', [inFeatures]).data
      const rows = new Float32Array(a.data.length)
      for (let j = 0; j < rank; j++) {
        const factor = lambda / rank / (norm(a.data, j * inFeatures, 1, inFeatures) * norm(b, j, rank, outFeatures))
        for (let i = 0; i < inFeatures; i++) rows[j * inFeatures + i] = factor * a.data[j * inFeatures + i] * inputNorms[i]
      }
      return smallerOf(site, { rank, a: rows, b: { columns: b }, scale: 1 })
    }
  },
}

/** Of `count` values, `step` apart. */
function norm(values: Float32Array, start: number, step: number, count: number): number {
  let sum = 0
  for (let i = 0; i < count; i++) sum += values[start + i * step] ** 2
  return Math.max(Math.sqrt(sum), SMALLEST_NORM)
}
