/** What a decode step is measured with: the base alone, or many adapters of one rank on the same modules. */
import { createHash } from 'node:crypto'
import { readdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { type AdapterImage, type BaseModel, loadAdapter } from '../../adapters-store/index.ts'
import type { Engine } from '../../runtime/index.ts'

/** make_model.py's `--modules`, which an adapter's name begins with. */
export type Modules = 'attention' | 'all'
export const MODULES: Record<Modules, string> = { attention: 'q, k, v, o', all: 'all seven' }

export interface Variant {
  name: string
  images: AdapterImage[]
  /** What a step reads of one adapter: its file holds 16-bit numbers, as the pool does. */
  adapterBytes: number
  rank: number
  modules?: Modules
}

export const BASE_ALONE: Variant = { name: 'base', images: [], adapterBytes: 0, rank: 0 }

/** Below `folder`, make_model.py's adapters whose names begin with `prefix`, in order. */
export function adaptersNamed(folder: string, prefix: string): string[] {
  const names = readdirSync(folder).filter((name) => name.startsWith(`${prefix}-`))
  if (names.length === 0) throw new Error(`${folder} holds no adapter named ${prefix}-…`)
  return names.sort()
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

/** The adapters of `set`, which is FOLDER/PREFIX (`models/llama-8b/adapters/attention-r16`), made known to the engine. */
export function loadVariant(engine: Engine, base: BaseModel, set: string, { count, packed, bytes }: VariantOptions): Variant {
  const folder = path.dirname(set)
  const names = adaptersNamed(folder, path.basename(set)).slice(0, Math.min(count, packed))
  const options = { dtype: engine.info.adapterDtype, blockBytes: engine.info.blockBytes, frameBytes: engine.info.frameBytes }
  const files = names.map((name) => loadAdapter(name, path.join(folder, name), base, options))
  const fit = Math.max(files.length, Math.floor(bytes / files[0].image.byteLength))
  const images = Array.from({ length: Math.min(count, fit) }, (_, i) => files[i] ?? cloneOf(files[i % files.length], i))
  for (const image of images) engine.addAdapter(image)
  const rank = files[0].maxRank
  const modules = path.basename(set).split('-')[0] as Modules
  const adapterBytes = statSync(path.join(folder, names[0], 'adapter_model.safetensors')).size
  return { name: `rank ${rank} on ${MODULES[modules]}`, images, adapterBytes, rank, modules }
}
