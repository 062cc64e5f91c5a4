/** What a graph may be built for, and what is chosen where the caller leaves it open. */
import type { TensorRef } from '../../adapters-store/types.ts'
import type { CacheDtype, Device, TensorType, WeightForm } from '../../native/types.ts'
import type { Architecture } from './architecture.ts'
import { ModelError } from './errors.ts'
import { EMBEDDING } from './sites.ts'

export interface BuildOptions {
  /** `cpu` where it is not given. */
  device?: Device
  /**
   * On the CPU that of the weights: float32 where it is not given; activations are float32 always. On CUDA float16 or bfloat16, of weights and activations: where it
   * is not given the checkpoint's, float16 for one in float32 (as vLLM), and bfloat16 where the family's activations do not fit float16.
   */
  dtype?: TensorType
  /**
   * Element type of the KV cache. On CUDA `dtype`, or int8 or float8 with scales for a layer; on the CPU any but float8, int8 with a scale for each head and token.
   * Where it is not given, as the weights: `dtype`, but on the CPU beside quantized weights a 16-bit one.
   */
  cacheDtype?: CacheDtype
  /**
   * The layers' projections in 4 or 8 bits; on the CPU also the head, and the embedding where it is the same, in 8. There it goes before `dtype`. Weights that the
   * checkpoint has quantized already stay as they are.
   */
  quantization?: 'int4' | 'int8'
  /** Positions to prepare for; the model's own maximum by default. */
  maxModelLen?: number
  /** Tokens that an adapter may add to the vocabulary, at least; ADDED_TOKENS where it is not given. */
  extraTokens?: number
}

/** As vLLM's --lora-extra-vocab-size. */
export const ADDED_TOKENS = 256

export interface ElementTypes {
  /** Of activations. */
  dtype: TensorType
  cacheDtype: CacheDtype
  /** How products' weights are kept, where it is not `dtype`. */
  weights?: WeightForm
}

/** Throws ModelError where the device has no such types. */
export function elementTypes(
  options: BuildOptions,
  architecture: Architecture,
  tensors: Record<string, TensorRef>,
): ElementTypes {
  const quantized = Object.values(tensors).some((tensor) => tensor.stored)
  if (options.device !== 'cuda') {
    const { dtype, quantization } = options
    const weights = quantization ?? (dtype === 'float32' ? undefined : dtype)
    return { dtype: 'float32', cacheDtype: cpuCache(options, architecture, quantized), weights }
  }
  if (quantized && options.quantization)
    throw new ModelError(
      'invalid_config',
      `--quantization ${options.quantization}: the checkpoint's weights are quantized already, and on CUDA they are served as floats. Leave it out, or serve the checkpoint that they were made from`,
    )
  const stored = tensors[`${EMBEDDING}.weight`]?.dtype
  const dtype = options.dtype ?? (stored === 'bfloat16' || architecture.wideRange ? 'bfloat16' : 'float16')
  if (dtype === 'float32')
    throw new ModelError('invalid_config', '--dtype float32 needs --device cpu: on CUDA it is float16 or bfloat16')
  const cacheDtype = options.cacheDtype ?? dtype
  if (cacheDtype !== dtype && cacheDtype !== 'int8' && cacheDtype !== 'float8')
    throw new ModelError('invalid_config', `--kv-cache-dtype must be auto (${dtype}, the dtype), int8 or fp8, not ${cacheDtype}`)
  return { dtype, cacheDtype, weights: options.quantization }
}

/** Beside weights of fewer bits a cache in float32 would be what a step mostly reads. */
function cpuCache(
  { dtype, cacheDtype, quantization }: BuildOptions,
  { wideRange }: Architecture,
  quantized: boolean,
): CacheDtype {
  if (cacheDtype === 'float8')
    throw new ModelError(
      'invalid_config',
      '--kv-cache-dtype fp8 needs --device cuda: on the CPU it is auto, float32, float16, bfloat16 or int8',
    )
  if (cacheDtype) return cacheDtype
  if (dtype === 'bfloat16') return dtype
  return quantization || (quantized && dtype !== 'float32') || dtype === 'float16'
    ? wideRange
      ? 'bfloat16'
      : 'float16'
    : 'float32'
}
