/**
 * RandLoRA (Albert et al., 2025). peft 0.21, tuners/randlora/layer.py, get_scaled_bases. With m = min(in, out), M = max(in, out), n = ⌈m / r⌉ bases:
 *     u[k] = λ[i, b] · A[i, 0, :m] ⊙ γ[b],  k = i n + b     (rows of the small side, rank-major)
 *     v[k] = B[:M, b, i],                   k = b r + i     (columns of the large side, base-major: PEFT pairs the two by k as it stands)
 *     ΔW = (alpha / r) Σ_k v[k] u[k]ᵀ, transposed when the input is the large side.
 * The rank n r is at least m, so ΔW is written out. v is what lies in the file: its row l is B[l], cut to n r columns.
 */
import { ignored, oneOf } from '../config.ts'
import { AdapterError } from '../errors.ts'
import { multipliedOut, requireFinite, valuesOf } from '../fold.ts'
import type { Tensor } from '../tensors.ts'
import type { Method } from './method.ts'

export const randlora: Method = {
  peftType: 'RANDLORA',
  config: {
    r: ignored,
    randlora_alpha: ignored,
    projection_prng_key: ignored,
    save_projection: oneOf(
      [true, 1],
      'the bases would have to be drawn again with the random generator of the machine that trained it; save them',
    ),
    sparse: ignored, // how the saved bases were drawn
    very_sparse: ignored,
    randlora_dropout: ignored,
    init_weights: ignored,
  },
  parameters: ['randlora_lambda', 'randlora_gamma'],
  sites: ['linear', 'head'],
  prepare({ config, tensors: file }) {
    const basesA = file.sharedTensor('randlora_A', [null, 1, null])
    const keyB = file.shared.get('randlora_B')
    if (!basesA || keyB === undefined)
      throw file.invalid('base_model.randlora_A or base_model.randlora_B is missing; train with save_projection=True')
    const basesB = file.take(keyB, [null, null, null], 'randlora_B')
    const matrixB = file.matrix(keyB, basesB)
    const r = config.number('r', 32)
    const scale = config.number('randlora_alpha', 640) / r
    return (tensors) => {
      const { site } = tensors
      // peft 0.21 saves the shared bases once more with every module.
      file.takeCopy(tensors, 'randlora_A')
      file.takeCopy(tensors, 'randlora_B')
      const { inFeatures, outFeatures } = site
      const small = Math.min(inFeatures, outFeatures)
      const large = Math.max(inFeatures, outFeatures)
      const bases = Math.ceil(small / r)
      const lambda = tensors.take('randlora_lambda', [r, bases]).data
      const { matrix: gamma } = tensors.matrix('randlora_gamma', [bases, small])
      requireFinite(gamma, bases, small)
      const [, , widthA] = basesA.shape
      const [rowsB, depthB, rankB] = basesB.shape
      if (basesA.shape[0] !== r || rankB !== r || widthA < small || rowsB < large || depthB < bases) {
        throw new AdapterError(
          'adapter_base_mismatch',
          `${site.module}: randlora_A [${basesA.shape}] and randlora_B [${basesB.shape}] do not fit [${outFeatures}, ${inFeatures}] at r = ${r}`,
        )
      }
      const rank = r * bases
      const u = () => scaledBases(lambda, basesA, valuesOf(gamma, bases, small), r, small)
      const v = { ...matrixB, transposed: true, stride: depthB * r }
      return { dense: multipliedOut(site, small === inFeatures ? { rank, a: u, b: v, scale } : { rank, a: v, b: u, scale }) }
    }
  },
}

/** Row k = i n + b is λ[i, b] · A[i, 0, :small] ⊙ γ[b]. Shape: lambda [r, n], gamma [n, small], result [r n, small]. */
function scaledBases(lambda: Float32Array, a: Tensor, gamma: Float32Array, r: number, small: number): Float32Array {
  const [, , width] = a.shape
  const bases = gamma.length / small
  const u = new Float32Array(r * gamma.length)
  for (let i = 0; i < r; i++) {
    for (let b = 0; b < bases; b++) {
      const k = i * bases + b
      for (let s = 0; s < small; s++) u[k * small + s] = lambda[k] * a.data[i * width + s] * gamma[b * small + s]
    }
  }
  return u
}
