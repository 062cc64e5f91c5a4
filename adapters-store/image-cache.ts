/**
 * Packed images on disk: what a DoRA or RandLoRA folds once is one read later. A file holds what came of an adapter's content on a base in a layout, with a checksum; it comes under its name whole, and
 * one that is damaged is read as if it were not there.
 */
import { createHash, randomUUID } from 'node:crypto'
import { closeSync, existsSync, openSync, readSync, renameSync, rmSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { loadNative } from '../native/index.ts'
import { noteUse, trimFolder } from './cache-folder.ts'
import { CONFIG_FILE, WEIGHTS_FILE } from './folders.ts'
import { identityOf, identityOfFiles } from './identity.ts'
import { imageMemory } from './image-memory.ts'
import { TEXT_FILES } from './text/files.ts'
import type { AdapterImage, AdapterText, BaseModel, ClassifierHead, LoadOptions } from './types.ts'

/** Rises with each change of what an image or its file looks like, or of what a fold computes. */
const VERSION = 5
const SUFFIX = '.image'

export interface ImageCacheSettings {
  directory: string
  /** Of all files together; those that were not used for longest go. */
  maxBytes: number
}

/** Before the image: what describes it, as JSON. */
interface Description extends Omit<AdapterImage, 'name' | 'image' | 'rows' | 'entries' | 'text' | 'head'> {
  text?: Omit<AdapterText, 'definition'>
  head?: Omit<ClassifierHead, 'values'>
  /** `definition`: of its tokenizer, `head`: of its classifier; 0: it has none of its own. */
  bytes: { rows: number; entries: number; image: number; definition: number; head: number }
}

export class ImageCache {
  readonly #directory: string
  readonly #maxBytes: number
  /** What an image depends on beside its adapter. */
  readonly #context: string

  /** The folder must be there. */
  constructor(
    { directory, maxBytes }: ImageCacheSettings,
    base: BaseModel,
    { dtype, blockBytes, frameBytes = blockBytes, tokenizers, rankOrder = 'own' }: LoadOptions,
  ) {
    this.#directory = directory
    this.#maxBytes = maxBytes
    const { simd } = loadNative().info()
    // In their own order images are what they were before there was another.
    const order = rankOrder === 'own' ? [] : [rankOrder]
    this.#context = digestOf(VERSION, dtype, blockBytes, frameBytes, simd, baseIdentity(base), tokenizers === 'base', ...order)
  }

  /**
   * The image of an adapter whose files are the very ones that it was made of: device, inode, size and times to the nanosecond tell. undefined: there is none.
   */
  find(name: string, directory: string): AdapterImage | undefined {
    const file = this.#fileOf(directory)
    try {
      return file === undefined ? undefined : this.#read(file, name)
    } catch {
      // Damaged, or going: it is made anew.
      return undefined
    }
  }

  /** Keeps an image for the next time, unless it changed while it was made. `before`: of `identify`, from before the adapter was read. */
  keep(directory: string, before: string | undefined, image: AdapterImage): void {
    const file = this.#fileOf(directory)
    if (!file || before !== this.identify(directory) || image.image.byteLength > this.#maxBytes) return
    try {
      this.#write(file, image)
      trimFolder(this.#directory, SUFFIX, this.#maxBytes)
    } catch {
      // A disk that is full or gone keeps nothing; the adapter is served all the same.
    }
  }

  /** Tells an adapter's files from any others; undefined where one is missing. */
  identify(directory: string): string | undefined {
    const there = [CONFIG_FILE, WEIGHTS_FILE].every((name) => existsSync(join(directory, name)))
    return there ? identityOf(directory) : undefined
  }

  #fileOf(directory: string): string | undefined {
    const identity = this.identify(directory)
    return identity && join(this.#directory, `${digestOf(this.#context, identity)}${SUFFIX}`)
  }

  #read(file: string, name: string): AdapterImage | undefined {
    let handle: number
    try {
      handle = openSync(file, 'r')
    } catch {
      return undefined
    }
    try {
      const checksum = readAll(handle, new Uint8Array(32))
      const hash = createHash('sha256')
      const read = <T extends Uint8Array>(into: T): T => {
        hash.update(readAll(handle, into))
        return into
      }
      const length = new DataView(read(new Uint8Array(4)).buffer).getUint32(0, true)
      const { bytes, text, head, ...described } = JSON.parse(Buffer.from(read(new Uint8Array(length))).toString()) as Description
      const rows = new Int32Array(read(new Uint8Array(bytes.rows)).buffer)
      const entries = new Int32Array(read(new Uint8Array(bytes.entries)).buffer)
      const image = imageMemory(bytes.image)
      read(new Uint8Array(image))
      const definition = bytes.definition > 0 ? new SharedArrayBuffer(bytes.definition) : undefined
      if (definition) read(new Uint8Array(definition))
      const values = new SharedArrayBuffer(bytes.head)
      read(new Uint8Array(values))
      if (Buffer.compare(hash.digest(), checksum) !== 0) return undefined
      noteUse(file)
      return {
        ...described,
        ...(text && { text: { ...text, ...(definition && { definition }) } }),
        ...(head && { head: { ...head, values } }),
        name,
        rows,
        entries,
        image,
      }
    } finally {
      closeSync(handle)
    }
  }

  #write(file: string, { name: _, image, rows, entries, text, head, ...described }: AdapterImage): void {
    const { definition = new SharedArrayBuffer(0), ...said } = text ?? {}
    const { values = new SharedArrayBuffer(0), ...told } = head ?? {}
    const bytes = {
      rows: rows.byteLength,
      entries: entries.byteLength,
      image: image.byteLength,
      definition: definition.byteLength,
      head: values.byteLength,
    }
    const json = Buffer.from(
      JSON.stringify({
        ...described,
        ...(text && { text: said as Description['text'] }),
        ...(head && { head: told as Description['head'] }),
        bytes,
      } satisfies Description),
    )
    const length = Buffer.alloc(4)
    length.writeUInt32LE(json.length)
    const parts = [
      length,
      json,
      bytesOf(rows),
      bytesOf(entries),
      ...[image, definition, values].map((one) => new Uint8Array(one)),
    ]
    const hash = createHash('sha256')
    for (const part of parts) hash.update(part)
    const part = `${file}.${randomUUID()}.part`
    const handle = openSync(part, 'wx')
    try {
      for (const piece of [hash.digest(), ...parts])
        for (let at = 0; at < piece.length; ) at += writeSync(handle, piece, at, Math.min(piece.length - at, 1 << 30))
      closeSync(handle)
      renameSync(part, file)
    } catch (error) {
      rmSync(part, { force: true })
      throw error
    }
  }
}

function readAll(handle: number, into: Uint8Array): Uint8Array {
  for (let at = 0; at < into.length; ) {
    const read = readSync(handle, into, at, Math.min(into.length - at, 1 << 30), null)
    if (read === 0) throw new Error('the file is cut off')
    at += read
  }
  return into
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Int32Array) => new Uint8Array(buffer, byteOffset, byteLength)

function digestOf(...parts: unknown[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex')
}

/** Tells a base from any other without reading its weights: what its sites are, and the files that its tensors lie in. */
function baseIdentity({ directory, modelType, sites, added, tensors }: BaseModel): string {
  const files = [...new Set(Object.values(tensors).map(({ file }) => file))].sort()
  const identities = files.map((file) => {
    const { size, mtimeNs } = statSync(file, { bigint: true })
    return `${file}:${size}:${mtimeNs}`
  })
  return digestOf(directory, modelType, sites, added, identities, identityOfFiles(directory, TEXT_FILES))
}
