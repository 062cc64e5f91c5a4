/**
 * VB-LoRA (Li et al., 2024). peft 0.21, tuners/vblora/layer.py: A and B are put together from pieces of length L; each piece is the mean of the
 * top-k vectors of a shared bank, weighted by the softmax of their logits.
 */
import { ignored, off } from '../config.ts'
import { type Fold, smallerOf } from '../fold.ts'
import type { Tensor } from '../tensors.ts'
import type { Method } from './method.ts'

export const vblora: Method = {
  peftType: 'VBLORA',
  config: {
    r: ignored, // seen in the tensors
    num_vectors: ignored,
    vector_length: ignored,
    topk: ignored,
    save_only_topk_weights: off('only adapters that keep all logits are read; save without save_only_topk_weights'),
    vblora_dropout: ignored,
    init_vector_bank_bound: ignored,
    init_logits_std: ignored,
  },
  parameters: ['vblora_logits_A', 'vblora_logits_B'],
  sites: ['linear', 'head'],
  prepare({ config, tensors: file }) {
    const bank = file.sharedTensor('vblora_vector_bank', [null, null])
    if (!bank) throw file.invalid('base_model.vblora_vector_bank is missing')
    const [vectors, length] = bank.shape
    const topk = config.number('topk', 2)
    return (tensors): Fold => {
      const { site } = tensors
      const logitsA = tensors.take('vblora_logits_A', [null, site.inFeatures / length, vectors])
      const rank = logitsA.shape[0]
      const logitsB = tensors.take('vblora_logits_B', [site.outFeatures / length, rank, vectors])
      const a = new Float32Array(rank * site.inFeatures)
      const b = new Float32Array(rank * site.outFeatures)
      for (let j = 0; j < rank; j++) {
        // A's logits are [rank, piece, vector], B's [piece, rank, vector].
        for (let p = 0; p < logitsA.shape[1]; p++)
          piece(bank, logitsA, j * logitsA.shape[1] + p, topk, a, j * site.inFeatures + p * length)
        for (let p = 0; p < logitsB.shape[0]; p++) piece(bank, logitsB, p * rank + j, topk, b, j * site.outFeatures + p * length)
      }
      return smallerOf(site, { rank, a, b, scale: 1 })
    }
  },
}

/** Writes the bank's mean for row `at` of the logits to `into` from `start` on. */
function piece(bank: Tensor, logits: Tensor, at: number, topk: number, into: Float32Array, start: number): void {
  const [vectors, length] = bank.shape
  const row = logits.data.subarray(at * vectors, (at + 1) * vectors)
  const best = Array.from(row.keys())
    .sort((x, y) => row[y] - row[x])
    .slice(0, topk)
  const weights = best.map((vector) => Math.exp(row[vector] - row[best[0]]))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  best.forEach((vector, k) => {
    for (let l = 0; l < length; l++) into[start + l] += (weights[k] / total) * bank.data[vector * length + l]
  })
}
