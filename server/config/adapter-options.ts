/** From a configuration to how adapters are loaded, and how many are kept. */
import type { LoadOptions } from '../../adapters-store/index.ts'
import type { EngineInfo } from '../../runtime/types.ts'
import { machineMemory } from './memory.ts'
import type { Config } from './settings.ts'

/** With the limits that it has if nothing is said: a quarter of the pool. */
export function loadOptions(
  { maxLoraRank, maxAdapterBytes, adapterTokenizers: tokenizers, rankOrder }: Config,
  {
    adapterDtype: dtype,
    blockBytes,
    frameBytes,
    blockCount,
  }: Pick<EngineInfo, 'adapterDtype' | 'blockBytes' | 'frameBytes' | 'blockCount'>,
): LoadOptions & { limits: { rank?: number; bytes: number } } {
  const limits = { rank: maxLoraRank, bytes: maxAdapterBytes ?? Math.floor((blockBytes * blockCount) / 4) }
  return { dtype, blockBytes, frameBytes, limits, tokenizers, rankOrder }
}

/** Bytes of host memory for adapters. */
export const hostMemoryOf = ({ hostMemory }: Config) => hostMemory ?? Math.floor(machineMemory() / 4)
