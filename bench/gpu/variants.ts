/** What a decode step is measured with: the base alone, or many adapters of one rank. */
import { createHash } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { type AdapterImage, type BaseModel, loadAdapter } from '../../adapters-store/index.ts'
import type { Engine } from '../../runtime/index.ts'

export interface Variant {
  name: string
  images: AdapterImage[]
}

/** The same rows under another digest: to the engine another adapter, with bytes of its own in host memory and in the pool. Packing a file takes seconds, this none. */
function cloneOf(image: AdapterImage, number: number): AdapterImage {
  const bytes = new SharedArrayBuffer(image.image.byteLength)
  new Uint8Array(bytes).set(new Uint8Array(image.image))
  const digest = createHash('sha256').update(`${image.digest} ${number}`).digest('hex')
  return { ...image, name: `${image.name}-${number}`, digest, image: bytes }
}

export interface VariantOptions {
  /** Different adapters wanted. */
  count: number
  /** Of these are packed from the folder's files; the rest are copies under other digests. */
  packed: number
  /** Host memory that they may take together; fewer are made where that is too little. */
  bytes: number
}

/** The adapters below `folder`, which are all of one rank, made known to the engine. */
export function loadVariant(engine: Engine, base: BaseModel, folder: string, { count, packed, bytes }: VariantOptions): Variant {
  const names = readdirSync(folder)
    .filter((name) => existsSync(path.join(folder, name, 'adapter_config.json')))
    .sort()
    .slice(0, Math.min(count, packed))
  if (names.length === 0) throw new Error(`${folder} holds no adapter`)
  const options = { dtype: engine.info.adapterDtype, blockBytes: engine.info.blockBytes }
  const files = names.map((name) => loadAdapter(`${path.basename(folder)}-${name}`, path.join(folder, name), base, options))
  const fit = Math.max(files.length, Math.floor(bytes / files[0].image.byteLength))
  const images = Array.from({ length: Math.min(count, fit) }, (_, i) => files[i] ?? cloneOf(files[i % files.length], i))
  for (const image of images) engine.addAdapter(image)
  return { name: `rank ${files[0].maxRank}`, images }
}
