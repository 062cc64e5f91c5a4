/** CUDA's projections with int4 or int8 weights: com.microsoft.MatMulNBits over weights that the engine quantizes while it loads (native/numeric/quantize.h). */
import type { Device, Product } from './devices/device.ts'
import { shapeOf } from './weights.ts'

/** Weights along `in` that share a scale. 32 is what all of ONNX Runtime's kernels take, and the most exact of those. */
export const BLOCK = 32

/** x Wᵀ + bias with W [out, in] in `bits`. */
export function quantizedProduct(device: Device, bits: 4 | 8, x: string, { weight, bias, output }: Product): string {
  const { graph, weights, setup } = device
  const { name } = weight
  const [outFeatures, inFeatures] = shapeOf(weight)
  const blocks = Math.ceil(inFeatures / BLOCK) // the last may be cut short: it is filled up with zeros
  const scales = `${name}.scales`
  const form = { as: setup.dtype, quantize: { bits, block: BLOCK, scales } }
  if (weights.use(weight, form)) {
    graph.external(name, 'uint8', [outFeatures, blocks, (BLOCK * bits) / 8])
    graph.external(scales, setup.dtype, [outFeatures * blocks])
  }
  const inputs = [x, name, scales]
  if (bias) inputs.push('', '', device.weight(bias))
  const attributes = {
    K: { int: inFeatures },
    N: { int: outFeatures },
    bits: { int: bits },
    block_size: { int: BLOCK },
    accuracy_level: { int: 0 }, // what activations may be rounded to: CUDA multiplies in its own types and does not read it
  }
  return graph.op('MatMulNBits', inputs, output, attributes, 'com.microsoft')
}
