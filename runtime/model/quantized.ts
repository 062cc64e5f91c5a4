/** Projections with int4 or int8 weights: com.microsoft.MatMulNBits over weights that the engine quantizes while it loads (native/numeric/quantize.h). */
import type { Device } from './devices/device.ts'
import { shapeOf, type Weight } from './weights.ts'

export interface Quantization {
  bits: 4 | 8
  /** MatMulNBits' accuracy_level: what activations may be rounded to. 4 = int8, 1 = float32; CUDA has no such choice. */
  accuracy: number
}

/** Weights along `in` that share a scale. 32 is what all of ONNX Runtime's kernels take, and the most exact of those. */
export const BLOCK = 32

/**
 * x Wᵀ + bias with W [out, in] in `bits`. The layer's projections alone are quantized: the embedding is gathered, and the head, which decides between
 * close logits, stays as it is.
 */
export function quantizedProduct(
  device: Device,
  { bits, accuracy }: Quantization,
  x: string,
  weight: Weight,
  bias: Weight | undefined,
  output: string,
): string {
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
    accuracy_level: { int: accuracy },
  }
  return graph.op('MatMulNBits', inputs, output, attributes, 'com.microsoft')
}
