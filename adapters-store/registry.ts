/** The adapters that this server knows, by name: those it can serve and those it refused, with the reason. */
import { resolve } from 'node:path'
import { AdapterError, asAdapterError } from './errors.ts'
import { adapterFolders } from './folders.ts'
import type { AdapterImage } from './types.ts'

export interface AdapterRecord {
  name: string
  /** Absolute path of the folder. */
  directory: string
  /** Unix seconds. */
  created: number
  /** Absent when the adapter was refused; then `refusal` says why, without paths: clients are told it. */
  image?: AdapterImage
  refusal?: string
  /** The same for whoever runs the server, with paths. */
  detail?: string
}

/** AdapterStore, or what stands for it in a test. */
export interface AdapterLoader {
  /** `root`: where symbolic links may lead; the directory if absent. */
  load(name: string, directory: string, root?: string): Promise<AdapterImage>
}

const NAME_LIMIT = 256

export class AdapterRegistry {
  readonly #loader: AdapterLoader
  readonly #records = new Map<string, AdapterRecord>()
  /** The image that was entered last of each content; what nobody serves any more is collected. */
  readonly #byDigest = new Map<string, WeakRef<AdapterImage>>()
  /** The records by name, until they change: sorting thousands for each question held the main thread. */
  #sorted: readonly AdapterRecord[] | undefined
  readonly #loading = new Map<string, { directory: string; record: Promise<AdapterRecord> }>()

  constructor(loader: AdapterLoader) {
    this.#loader = loader
  }

  get(name: string): AdapterRecord | undefined {
    return this.#records.get(name)
  }

  /** By name. The same list until one is entered or removed. */
  list(): readonly AdapterRecord[] {
    this.#sorted ??= [...this.#records.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
    return this.#sorted
  }

  /**
   * Loads an adapter and enters it. The same adapter again is no error and returns what is there; another under a name that serves is
   * (adapter_name_taken). A refused name may be tried again. Symbolic links lead only where `root` allows (links.ts). Rejects with AdapterError; nothing is
   * entered then.
   */
  async add(name: string, directory: string, root = directory): Promise<AdapterRecord> {
    requireName(name)
    const folder = resolve(directory)
    const loading = this.#loading.get(name)
    if (loading) {
      if (loading.directory === folder) return loading.record
      throw taken(name, loading.directory, folder)
    }
    const record = this.#load(name, folder, resolve(root))
    this.#loading.set(name, { directory: folder, record })
    try {
      return await record
    } finally {
      this.#loading.delete(name)
    }
  }

  /** The same, but a refused adapter is entered with its reason, so that requests for it are told. */
  async addOrRefuse(name: string, directory: string, root = directory): Promise<AdapterRecord> {
    try {
      return await this.add(name, directory, root)
    } catch (error) {
      const { message: refusal, detail } = asAdapterError(error)
      const record = { name, directory: resolve(directory), created: now(), refusal, detail }
      if (!this.#records.get(name)?.image) this.#enter(record)
      return record
    }
  }

  /**
   * Every subfolder of `folder` with an adapter_config.json, named after it; one that is refused does not stop the others. `warn` is told what looks
   * like an adapter and is none (folders.ts). Resolves to the records in order of name. Rejects if `folder` is no folder of adapters.
   */
  async scan(folder: string, warn: (message: string) => void = () => {}): Promise<AdapterRecord[]> {
    const { found, warnings } = adapterFolders(folder)
    for (const warning of warnings) warn(warning)
    return Promise.all(found.map(({ name, directory }) => this.addOrRefuse(name, directory, folder)))
  }

  /** True if there was one. Whoever holds its image keeps it. */
  remove(name: string): boolean {
    this.#sorted = undefined
    const digest = this.#records.get(name)?.image?.digest
    if (digest !== undefined && this.#byDigest.get(digest)?.deref()?.name === name) this.#byDigest.delete(digest)
    return this.#records.delete(name)
  }

  async #load(name: string, directory: string, root: string): Promise<AdapterRecord> {
    const image = await this.#loader.load(name, directory, root)
    const there = this.#records.get(name)
    if (there?.image) {
      if (there.image.digest === image.digest) return there
      throw taken(name, there.directory, directory)
    }
    const record = { name, directory, created: now(), image: { ...image, ...this.#sameAs(image) } }
    this.#enter(record)
    return record
  }

  /** The bytes of an adapter that serves under another name already: host memory holds one content once. */
  #sameAs({ digest, dtype, blockBytes }: AdapterImage): Partial<AdapterImage> {
    const same = this.#byDigest.get(digest)?.deref()
    if (same?.dtype !== dtype || same.blockBytes !== blockBytes) return {}
    return { image: same.image, rows: same.rows, entries: same.entries }
  }

  #enter(record: AdapterRecord): void {
    this.#sorted = undefined
    this.#records.set(record.name, record)
    if (record.image) this.#byDigest.set(record.image.digest, new WeakRef(record.image))
  }
}

function requireName(name: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: names appear in headers, logs and metrics labels
  if (name !== '' && name.length <= NAME_LIMIT && !/[\u0000-\u001f\u007f]/.test(name)) return
  throw new AdapterError(
    'adapter_name_invalid',
    `${JSON.stringify(name.slice(0, NAME_LIMIT))} cannot be an adapter's name: 1 to ${NAME_LIMIT} characters without control characters`,
  )
}

function taken(name: string, directory: string, other: string): AdapterError {
  return new AdapterError('adapter_name_taken', `the name ${name} is taken by another adapter`, {
    detail: `the name ${name} is taken by the adapter in ${directory}; ${other} holds another one and needs another name`,
  })
}

function now(): number {
  return Math.floor(Date.now() / 1000)
}
