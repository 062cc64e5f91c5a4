/**
 * VeRA (Kopiczko et al., 2023). peft 0.21, tuners/vera/layer.py: ΔW = diag(b) · B[:out] · diag(d) · A[:, :in], with A and B shared by all modules
 * and cut to each one's size.
 */
import { ignored, oneOf } from '../config.ts'
import { AdapterError } from '../errors.ts'
import { smallerOf } from '../fold.ts'
import type { FoldContext, Tensor } from '../tensors.ts'
import type { Method } from './method.ts'

export const vera: Method = {
  peftType: 'VERA',
  config: {
    r: ignored,
    projection_prng_key: ignored,
    save_projection: oneOf(
      [true, 1],
      'A and B would have to be drawn again with the random generator of the machine that trained it; save them',
    ),
    vera_dropout: ignored,
    d_initial: ignored,
    init_weights: ignored,
  },
  parameters: ['vera_lambda_b', 'vera_lambda_d'],
  sites: ['linear', 'head'],
  prepare(context) {
    const a = projection(context, 'vera_A')
    const b = projection(context, 'vera_B')
    const rank = a.shape[0]
    if (b.shape[1] !== rank)
      throw context.tensors.invalid(`vera_B has shape [${b.shape}]; [any, ${rank}] fits vera_A of shape [${a.shape}]`)
    return (tensors) => {
      const { site } = tensors
      const { inFeatures, outFeatures } = site
      const lambdaB = tensors.take('vera_lambda_b', [outFeatures]).data
      const lambdaD = tensors.take('vera_lambda_d', [rank]).data
      if (a.shape[1] < inFeatures || b.shape[0] < outFeatures) {
        throw new AdapterError(
          'adapter_base_mismatch',
          `${site.module}: vera_A [${a.shape}] and vera_B [${b.shape}] are too small for [${outFeatures}, ${inFeatures}]`,
        )
      }
      return smallerOf(site, {
        rank,
        a: () => scaledRows(a, lambdaD, inFeatures),
        b: () => ({ columns: scaledRows(b, lambdaB, rank) }),
        scale: 1,
      })
    }
  },
}

function projection({ tensors }: FoldContext, name: string) {
  const found = tensors.sharedTensor(name, [null, null])
  if (!found) throw tensors.invalid(`base_model.${name} is missing; train with save_projection=True`)
  return found
}

/** Row j of the matrix, cut to `width`, times factors[j]. Shape: [factors.length, width]. */
function scaledRows({ shape, data }: Tensor, factors: Float32Array, width: number): Float32Array {
  const rows = new Float32Array(factors.length * width)
  factors.forEach((factor, j) => {
    for (let i = 0; i < width; i++) rows[j * width + i] = factor * data[j * shape[1] + i]
  })
  return rows
}
