/** Where packed weights are kept from start to start (docs/configuration.md, `weight-cache`): a file of each model in each form, named by what it was made of. */
import { createHash } from 'node:crypto'
import { rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { noteUse, trimFolder } from '../../adapters-store/cache-folder.ts'
import type { EngineOptions } from '../../native/types.ts'

/** Rises with each change of what packing makes of the same weights, or of the file. */
const VERSION = 1
const SUFFIX = '.weights'

export interface WeightCacheSettings {
  /** It must be there. */
  directory: string
  /** Of all files together; those that were not used for longest go. */
  maxBytes: number
}

type Weights = Pick<EngineOptions, 'files' | 'initializers'>

/** The file of these weights; undefined where none are packed. `layout`: NativeAddon.info().packedLayout. Throws the system's error where a checkpoint's file is gone. */
export function weightFileOf(
  { directory }: WeightCacheSettings,
  { files, initializers }: Weights,
  layout: number,
): string | undefined {
  const packed = initializers.filter(({ pack }) => pack)
  if (packed.length === 0) return undefined
  // As an adapter's files are told from others: a copy under way grows, and one that was put in its place has another inode.
  const identities = files.map((file) => {
    const { dev, ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true })
    return `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`
  })
  const parts = JSON.stringify([VERSION, layout, identities, packed])
  return join(directory, `${createHash('sha256').update(parts).digest('hex')}${SUFFIX}`)
}

/** After the engine has started with `file`: notes its use, and makes room. A checkpoint that changed meanwhile leaves nothing. Never throws: it is a cache. */
export function settleWeightFile(settings: WeightCacheSettings, file: string, weights: Weights, layout: number): void {
  try {
    if (weightFileOf(settings, weights, layout) !== file || statSync(file).size > settings.maxBytes) rmSync(file, { force: true })
    else noteUse(file)
    trimFolder(settings.directory, SUFFIX, settings.maxBytes)
  } catch {
    // The folder went, or it could not be written.
  }
}
