/** How long a block of the pool is. */
import type { CacheDtype, Device } from '../../native/types.ts'

const ELEMENT_BYTES = { float32: 4, float16: 2, bfloat16: 2, int8: 1, float8: 1 } as const
const SCALE_BYTES = 4

/** Bytes of `blockSize` tokens' keys and values in all layers; on the CPU int8 elements have a scale for each head and token behind them (native/numeric/cache_type.h). */
export function blockBytesOf(
  { layers, kvHeads, headDim, cacheDtype }: { layers: number; kvHeads: number; headDim: number; cacheDtype: CacheDtype },
  device: Device,
  blockSize: number,
): number {
  const elements = blockSize * kvHeads * headDim * ELEMENT_BYTES[cacheDtype]
  const scaled = device === 'cpu' && cacheDtype === 'int8'
  const view = scaled ? Math.ceil(elements / SCALE_BYTES) * SCALE_BYTES + blockSize * kvHeads * SCALE_BYTES : elements
  return layers * 2 * view
}
