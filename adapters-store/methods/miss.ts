/**
 * MiSS (Kang & Yin, 2024), once called Bone. peft 0.21, tuners/miss/layer.py. Three forms, told apart by init_weights:
 *     plain  ΔW[o, i] = block[i mod r, o]: a LoRA whose A sums every r-th input
 *     mini   the same with the block's columns repeated: block[i mod r, o mod mini_r]
 *     bat    per r × r block (p of the outputs) of W: ΔW = W block_p + block_p
 */
import { addProduct, floatMatrix, rowRange } from '../arithmetic.ts'
import { ignored, oneOf } from '../config.ts'
import { AdapterError } from '../errors.ts'
import { type Fold, smallerOf } from '../fold.ts'
import type { FoldContext, SiteTensors } from '../tensors.ts'
import type { Method } from './method.ts'

export const miss: Method = {
  peftType: 'MISS',
  config: {
    r: ignored, // seen in the tensors
    mini_r: ignored,
    miss_dropout: ignored,
    init_weights: oneOf([true, 1, false, 0, '', null, 'bat', 'mini'], 'true, false, "bat" or "mini" is expected'),
  },
  parameters: ['miss_block'],
  sites: ['linear', 'head'],
  prepare(context) {
    const form = context.config.values.init_weights
    return (tensors) => (form === 'bat' ? blockwise(tensors, context) : tiled(tensors, form === 'mini'))
  },
}

function tiled(tensors: SiteTensors, mini: boolean): Fold {
  const { site } = tensors
  const { inFeatures, outFeatures } = site
  const { shape, data } = tensors.take('miss_block', [null, mini ? null : outFeatures])
  const [rank, columns] = shape
  const a = new Float32Array(rank * inFeatures)
  for (let i = 0; i < inFeatures; i++) a[(i % rank) * inFeatures + i] = 1
  const b = new Float32Array(rank * outFeatures)
  for (let j = 0; j < rank; j++) for (let o = 0; o < outFeatures; o++) b[j * outFeatures + o] = data[j * columns + (o % columns)]
  return smallerOf(site, { rank, a, b, scale: 1 })
}

function blockwise(tensors: SiteTensors, { base }: FoldContext): Fold {
  const { site } = tensors
  const { inFeatures, outFeatures } = site
  const r = tensors.shape('miss_block')?.at(-1) || 1
  const blocks = tensors.take('miss_block', [outFeatures / r, r, r]).data
  if (inFeatures % r !== 0) {
    throw new AdapterError(
      'adapter_base_mismatch',
      `${site.module}: miss_block of ${r} × ${r} does not divide its ${inFeatures} inputs`,
    )
  }
  const weights = base.matrix(site.weight)
  return {
    dense: {
      count: outFeatures,
      rows(first, into) {
        const end = first + into.length / inFeatures
        for (let o = first, next: number; o < end; o = next) {
          const p = Math.floor(o / r)
          next = Math.min(end, (p + 1) * r)
          const block = blocks.subarray(p * r * r, (p + 1) * r * r)
          const rows = into.subarray((o - first) * inFeatures, (next - first) * inFeatures)
          for (let i = o; i < next; i++)
            repeat(block.subarray((i % r) * r, ((i % r) + 1) * r), rows, (i - o) * inFeatures, inFeatures)
          // Rows [o, next) of W, cut into pieces of r inputs, one below the other.
          const pieces = { ...rowRange(weights, o, next - o), rows: rows.length / r, columns: r, stride: r }
          addProduct(rows, pieces, floatMatrix(block, r, r), 1)
        }
      },
    },
  }
}

/** Fills `count` elements from `start` on with the piece, again and again. */
function repeat(piece: Float32Array, into: Float32Array, start: number, count: number): void {
  into.set(piece, start)
  for (let done = piece.length; done < count; done *= 2)
    into.copyWithin(start + done, start, start + Math.min(done, count - done))
}
