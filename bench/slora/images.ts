/** Adapters for an engine without a server around it: images of the ranks, each many times under digests of its own. */
import { loadAdapter } from '../../adapters-store/index.ts'
import type { AdapterImage, BaseModel } from '../../adapters-store/types.ts'
import { adapterOf, RANKS, type Shape } from './workload.ts'

export interface Images {
  images: AdapterImage[]
  /** Bytes of their rows, by the first 64 bits of their digests. */
  bytesOf: Map<bigint, number>
}

/** `count` adapters with the ranks in turn. Those of a rank share their bytes in host memory, which an engine only reads. */
export function imagesOf(
  shape: Shape,
  base: BaseModel,
  { blockBytes, frameBytes }: { blockBytes: number; frameBytes: number },
  count: number,
): Images {
  const options = { dtype: 'float16' as const, blockBytes, frameBytes }
  const kinds = RANKS.map((rank) => loadAdapter(`r${rank}`, adapterOf(shape, rank), base, options))
  const bytesOf = new Map<bigint, number>()
  const images = Array.from({ length: count }, (_, i) => {
    const first = (i + 1).toString(16).padStart(16, '0')
    const kind = kinds[i % kinds.length]
    bytesOf.set(BigInt(`0x${first}`), kind.image.byteLength)
    return { ...kind, name: `adapter ${i}`, digest: first.repeat(4) }
  })
  return { images, bytesOf }
}
