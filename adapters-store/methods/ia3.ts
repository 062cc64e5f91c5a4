/**
 * (IA)³ (Liu et al., 2022). peft 0.21, tuners/ia3/layer.py: a vector of [out, 1] scales the output, bias included; one of [1, in] (feedforward
 * modules) scales the input. Where the graph cannot scale a site's input alone, W diag(s) − W is written out: exact, and larger.
 */
import { multiplyElements, readRows, repeated, rowRange } from '../arithmetic.ts'
import { ignored } from '../config.ts'
import type { Fold } from '../fold.ts'
import type { Method } from './method.ts'

export const ia3: Method = {
  peftType: 'IA3',
  config: {
    feedforward_modules: ignored, // seen in the tensors' shapes
    init_ia3_weights: ignored,
  },
  parameters: ['ia3_l'],
  sites: ['linear', 'head'],
  prepare({ base }) {
    return (tensors): Fold => {
      const { site } = tensors
      const { inFeatures, outFeatures } = site
      if (tensors.shape('ia3_l')?.[0] !== 1) return { outScale: tensors.take('ia3_l', [outFeatures, 1]).data, scalesBias: true }
      const scale = tensors.take('ia3_l', [1, inFeatures]).data
      if (site.takesInputScale) return { inScale: scale }
      const weights = base.matrix(site.weight)
      const change = scale.map((s) => s - 1)
      return {
        dense: {
          count: outFeatures,
          rows(first, into) {
            const count = into.length / inFeatures
            readRows(rowRange(weights, first, count), into)
            multiplyElements(into, repeated(change, count))
          },
        },
      }
    }
  },
}
