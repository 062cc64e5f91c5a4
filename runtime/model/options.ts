/** What a graph may be built for, and what is chosen where the caller leaves it open. */
import type { TensorRef } from '../../adapters-store/types.ts'
import type { CacheDtype, Device, TensorType } from '../../native/types.ts'
import type { Architecture } from './architecture.ts'
import { ModelError } from './errors.ts'
import type { Quantization } from './quantized.ts'
import { EMBEDDING } from './sites.ts'

export interface BuildOptions {
  /** `cpu` where it is not given. */
  device?: Device
  /**
   * Element type of activations: float32 on the CPU. On CUDA float16 or bfloat16: where it is not given the checkpoint's, float16 for one in float32 (as vLLM),
   * and bfloat16 where the family's activations do not fit float16.
   */
  dtype?: TensorType
  /**
   * Element type of the KV cache. On CUDA `dtype`, or int8 or float8 with scales for a layer; on the CPU any but float8, int8 with a scale for each head and token.
   * `dtype` where it is not given, but on the CPU beside quantized weights a 16-bit one.
   */
  cacheDtype?: CacheDtype
  /** The layers' projections in 4 or 8 bits. */
  quantization?: 'int4' | 'int8'
  /** How exactly the CPU multiplies quantized weights: `int8` also rounds activations to 8 bits, block by block, and is much faster; `float32` does not. */
  quantizedCompute?: 'int8' | 'float32'
  /** Positions to prepare for; the model's own maximum by default. */
  maxModelLen?: number
  /** Tokens that an adapter may add to the vocabulary, at least; ADDED_TOKENS where it is not given. */
  extraTokens?: number
}

/** As vLLM's --lora-extra-vocab-size. */
export const ADDED_TOKENS = 256

/** Throws ModelError where the device has no such types. */
export function elementTypes(
  options: BuildOptions,
  architecture: Architecture,
  tensors: Record<string, TensorRef>,
): { dtype: TensorType; cacheDtype: CacheDtype } {
  if (options.device !== 'cuda') {
    if ((options.dtype ?? 'float32') !== 'float32')
      throw new ModelError('invalid_config', `--dtype ${options.dtype} needs --device cuda: the CPU computes in float32`)
    return { dtype: 'float32', cacheDtype: cpuCache(options, architecture) }
  }
  const stored = tensors[`${EMBEDDING}.weight`]?.dtype
  const dtype = options.dtype ?? (stored === 'bfloat16' || architecture.wideRange ? 'bfloat16' : 'float16')
  if (dtype === 'float32')
    throw new ModelError('invalid_config', '--dtype float32 needs --device cpu: on CUDA it is float16 or bfloat16')
  const cacheDtype = options.cacheDtype ?? dtype
  if (cacheDtype !== dtype && cacheDtype !== 'int8' && cacheDtype !== 'float8')
    throw new ModelError('invalid_config', `--kv-cache-dtype must be auto (${dtype}, the dtype), int8 or fp8, not ${cacheDtype}`)
  return { dtype, cacheDtype }
}

/** Beside weights of fewer bits a cache in float32 would be what a step mostly reads. */
function cpuCache({ dtype, cacheDtype, quantization }: BuildOptions, { wideRange }: Architecture): CacheDtype {
  if (cacheDtype === 'float8')
    throw new ModelError(
      'invalid_config',
      '--kv-cache-dtype fp8 needs --device cuda: on the CPU it is auto, float32, float16, bfloat16 or int8',
    )
  if (cacheDtype) return cacheDtype
  if (dtype === 'float16' || dtype === 'bfloat16') return dtype
  return quantization ? (wideRange ? 'bfloat16' : 'float16') : 'float32'
}

export function quantizationOf({ device, quantization, quantizedCompute }: BuildOptions): Quantization | undefined {
  if (!quantization) return undefined
  // MatMulNBits' accuracy levels: 4 = activations in int8, 1 = float32. CUDA multiplies in its own types and does not read it.
  return { bits: quantization === 'int4' ? 4 : 8, accuracy: device === 'cuda' ? 0 : quantizedCompute === 'float32' ? 1 : 4 }
}
