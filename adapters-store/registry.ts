/** The adapters that this server knows, by name. Nothing of one is read before somebody wants it; then all who do share the load, and hold what came of it until they are done. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Adapter } from './adapter.ts'
import { AdapterError, asAdapterError } from './errors.ts'
import { adapterFolders, CONFIG_FILE } from './folders.ts'
import type { HostMemory } from './host-memory.ts'
import type { AdapterImage } from './types.ts'

/** AdapterStore, or what stands for it in a test. */
export interface AdapterLoader {
  /** `root`: where symbolic links may lead; the directory if absent. */
  load(name: string, directory: string, root?: string): Promise<AdapterImage>
}

/** Adapters that are in host memory, and stay until they are released. */
export interface Lease {
  /** Of each adapter, in the order asked for. */
  readonly digests: readonly string[]
  /** Once. */
  release(): void
}

const NAME_LIMIT = 256

/** How a name is given another folder. */
export interface Replacing {
  /** Where symbolic links may lead; the directory if absent. */
  root?: string
  /** Only if that is what the name stands for now (`adapter_version_mismatch`). */
  expectedDigest?: string
  /** Only if the name is nobody's, or stands for this folder already (`adapter_name_taken`). */
  onlyNew?: boolean
  /** Says that nobody waits for it any more; heard until the adapter is read. */
  signal?: AbortSignal
}

export class AdapterRegistry {
  /** Told of each load that fails. */
  onRefusal?: (adapter: Adapter) => void
  /** Loads since the start, by how they ended. */
  readonly counts = { loaded: 0, refused: 0 }
  /** Told of each adapter that has been read. */
  onLoad?: (adapter: Adapter) => void
  readonly #loader: AdapterLoader
  readonly #memory: HostMemory
  readonly #adapters = new Map<string, Adapter>()
  /** Replaced or removed, and still in use. */
  readonly #draining = new Set<Adapter>()
  /** By name, until they change: sorting thousands for each question held the main thread. */
  #sorted: readonly Adapter[] | undefined
  #reserved: string | undefined
  /** Changes of a name, one after the other. */
  readonly #changing = new Map<string, Promise<unknown>>()

  constructor(loader: AdapterLoader, memory: HostMemory) {
    this.#loader = loader
    this.#memory = memory
  }

  /** A name that no adapter can have from now on: the base model's. */
  reserve(name: string): void {
    this.#reserved = name
  }

  get(name: string): Adapter | undefined {
    return this.#adapters.get(name)
  }

  /** By name. The same list until one is entered or removed. */
  list(): readonly Adapter[] {
    this.#sorted ??= [...this.#adapters.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
    return this.#sorted
  }

  /** Versions of a name that are no longer its own and still in use. */
  draining(name: string): Adapter[] {
    return [...this.#draining].filter((adapter) => adapter.name === name)
  }

  /**
   * Makes an adapter known; nothing of it is read. The same folder again is no error and returns what is there; another folder under a name that is known is
   * (`adapter_name_taken`). Symbolic links lead only where `root` allows (links.ts).
   */
  enter(name: string, directory: string, root = directory): Adapter {
    this.#requireName(name)
    const there = this.#adapters.get(name)
    if (there?.directory === resolve(directory)) return there
    if (there) throw taken(name, there.directory, directory)
    return this.#enter(new Adapter(name, directory, root))
  }

  /**
   * Every subfolder of `folder` with an adapter_config.json, named after it. `warn` is told what looks like an adapter and is none (folders.ts), or has a name that another
   * adapter has. `wanted` says which names are meant. In order of name. Throws if `folder` is no folder of adapters.
   */
  scan(folder: string, warn: (message: string) => void = () => {}, wanted: (name: string) => boolean = () => true): Adapter[] {
    const { found, warnings } = adapterFolders(folder)
    for (const warning of warnings) warn(warning)
    return found.flatMap(({ name, directory }) => {
      if (!wanted(name)) return []
      try {
        return [this.enter(name, directory, folder)]
      } catch (error) {
        warn(asAdapterError(error).detail)
        return []
      }
    })
  }

  /**
   * Brings adapters into host memory, all of them or none, and holds them there. Rejects with AdapterError of the first that cannot be loaded, with the signal's reason when it says so
   * before there is room.
   */
  async lease(adapters: readonly Adapter[], signal?: AbortSignal): Promise<Lease> {
    for (const adapter of adapters) {
      const refused = adapter.image ? undefined : adapter.stillRefused
      if (refused) throw refused
    }
    await this.#memory.claim(adapters, signal)
    let released = false
    const release = () => {
      if (released) return
      released = true
      for (const adapter of adapters) {
        this.#memory.release(adapter)
        if (adapter.retired && adapter.leases === 0) this.#draining.delete(adapter)
      }
    }
    try {
      const loads = await Promise.allSettled(adapters.map((adapter) => (adapter.image ? undefined : this.#load(adapter))))
      for (const load of loads) if (load.status === 'rejected') throw load.reason
    } catch (error) {
      release()
      throw error
    }
    return { digests: adapters.map(({ digest }) => digest as string), release }
  }

  /**
   * Puts another folder, or the same anew, under a name, which need not be known. It is read first: a name never stands for what cannot be served. Requests that run end on the version
   * they began with.
   */
  replace(
    name: string,
    directory: string,
    { root = directory, expectedDigest, onlyNew, signal }: Replacing = {},
  ): Promise<Adapter> {
    this.#requireName(name)
    const require = () => {
      this.#requireDigest(name, expectedDigest)
      const there = this.#adapters.get(name)
      if (onlyNew && there && there.directory !== resolve(directory)) throw taken(name, there.directory, directory)
    }
    return this.#inTurn(name, async () => {
      // What was never read has no digest to compare.
      const there = this.#adapters.get(name)
      if (expectedDigest !== undefined && there && there.digest === undefined) (await this.lease([there], signal)).release()
      require()
      const next = new Adapter(name, directory, root)
      const lease = await this.lease([next], signal)
      try {
        require()
        next.pinned = this.#adapters.get(name)?.pinned ?? false
        this.#retire(name)
        return this.#enter(next)
      } finally {
        if (this.#adapters.get(name) !== next) next.retired = true
        lease.release()
      }
    })
  }

  /** True if there was one. What uses it goes on; it is gone with the last of that. */
  remove(name: string): boolean {
    this.#sorted = undefined
    return this.#retire(name)
  }

  /** Has `change` done after those of the same name. */
  async #inTurn<T>(name: string, change: () => Promise<T>): Promise<T> {
    const before = this.#changing.get(name)
    const mine = (async () => {
      await before?.catch(() => undefined)
      return change()
    })()
    this.#changing.set(name, mine)
    try {
      return await mine
    } finally {
      if (this.#changing.get(name) === mine) this.#changing.delete(name)
    }
  }

  #requireName(name: string): void {
    requireName(name)
    if (name === this.#reserved) throw new AdapterError('adapter_name_taken', `${name} is the base model's name`)
  }

  #requireDigest(name: string, expected: string | undefined): void {
    const current = this.#adapters.get(name)?.digest
    if (expected === undefined || current === expected) return
    throw new AdapterError(
      'adapter_version_mismatch',
      `the adapter ${name} is ${current === undefined ? 'not loaded' : `at ${current}`}, not at ${expected}`,
    )
  }

  #retire(name: string): boolean {
    const adapter = this.#adapters.get(name)
    if (!adapter) return false
    this.#adapters.delete(name)
    adapter.retired = true
    adapter.pinned = false
    if (adapter.leases > 0) this.#draining.add(adapter)
    else this.#memory.drop(adapter)
    return true
  }

  /** All who want it share one load. */
  #load(adapter: Adapter): Promise<void> {
    adapter.loading ??= this.#read(adapter).finally(() => {
      adapter.loading = undefined
    })
    return adapter.loading
  }

  async #read(adapter: Adapter): Promise<void> {
    const { name, directory, root } = adapter
    const started = performance.now()
    let image: AdapterImage
    try {
      image = await this.#loader.load(name, directory, root)
      const { byteLength } = image.image
      if (byteLength > this.#memory.limit)
        throw new AdapterError(
          'adapter_too_large',
          `packed, it takes ${byteLength} bytes, and host memory has ${this.#memory.limit} (--host-memory)`,
        )
    } catch (error) {
      const known = asAdapterError(error)
      // A server that closes, or a thread that died, says nothing of the adapter.
      if (known.code !== 'adapter_store_closed' && known.code !== 'adapter_loader_lost') {
        adapter.refuse(known)
        this.counts.refused++
        this.onRefusal?.(adapter)
      }
      this.#memory.giveUp(adapter)
      throw known
    }
    this.#memory.land(adapter, image, performance.now() - started)
    this.counts.loaded++
    this.onLoad?.(adapter)
  }

  #enter(adapter: Adapter): Adapter {
    this.#sorted = undefined
    this.#adapters.set(adapter.name, adapter)
    return adapter
  }
}

/** Whether a folder is there and looks like an adapter's. */
export const isAdapterFolder = (directory: string) => existsSync(join(directory, CONFIG_FILE))

function requireName(name: string): void {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: names appear in headers, logs and metrics labels
  if (name !== '' && name.length <= NAME_LIMIT && !/[\u0000-\u001f\u007f]|\p{Surrogate}/u.test(name)) return
  throw new AdapterError(
    'adapter_name_invalid',
    `${JSON.stringify(name.slice(0, NAME_LIMIT))} cannot be an adapter's name: 1 to ${NAME_LIMIT} whole characters without control characters`,
  )
}

function taken(name: string, directory: string, other: string): AdapterError {
  return new AdapterError('adapter_name_taken', `the name ${name} is taken by another adapter`, {
    detail: `the name ${name} is taken by the adapter in ${directory}; ${other} holds another one and needs another name`,
  })
}
