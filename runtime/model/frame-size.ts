/** How finely pool blocks are cut for adapters that share them. */
import type { AdapterDtype, Site } from '../../adapters-store/types.ts'
import { elementBytes } from '../../native/floats.ts'

const FLOAT32_BYTES = 4
const ALIGNMENT = 64
/** Below this a frame saves nothing worth its bookkeeping and its copy. */
export const LEAST_FRAME_BYTES = 64 << 10

/**
 * Bytes of a frame: a block halved as often as it can be while every row of an adapter of the layers' projections still fits: rank rows in `dtype`, scales and biases in
 * float32. Longer rows, those of table and head, lie in whole blocks. `blockBytes` itself where no half would do.
 */
export function frameBytesOf(sites: readonly Site[], dtype: AdapterDtype, blockBytes: number, least = LEAST_FRAME_BYTES): number {
  const widths = sites.filter(({ kind }) => kind === 'linear').flatMap(({ inFeatures, outFeatures }) => [inFeatures, outFeatures])
  const longest = Math.max(0, ...widths) * Math.max(FLOAT32_BYTES, elementBytes(dtype))
  let bytes = blockBytes
  while (bytes % (2 * ALIGNMENT) === 0 && bytes / 2 >= Math.max(least, longest)) bytes /= 2
  return bytes
}
