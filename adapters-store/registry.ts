/** The adapters that this server knows, by name. Nothing of one is read before somebody wants it; then all who do share the load, and hold what came of it until they are done. */
import { existsSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { Adapter, type Canary } from './adapter.ts'
import { AdapterError, asAdapterError } from './errors.ts'
import { adapterFolders, CONFIG_FILE } from './folders.ts'
import type { HostMemory } from './host-memory.ts'
import { leaseOf } from './lease.ts'
import { requireName, taken } from './names.ts'
import { type AdapterImage, hostBytes, type Lease } from './types.ts'
import { canaryOf, type Judging, previousOf, type Replacing, requireCanary, requireDigest, versionNotFound } from './versions.ts'

/** AdapterStore, or what stands for it in a test. */
export interface AdapterLoader {
  /** `root`: where symbolic links may lead; the directory if absent. */
  load(name: string, directory: string, root?: string): Promise<AdapterImage>
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
  /** Names that have a canary, and some that had one. */
  readonly #canaried = new Set<string>()
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
    return leaseOf(adapters, release)
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
    const next = new Adapter(name, directory, root)
    const require = (there: Adapter | undefined) => {
      if (onlyNew && there && there.state !== 'refused' && there.directory !== next.directory)
        throw taken(name, there.directory, directory)
    }
    return this.#inTurn(name, () => this.#succeed(next, { expectedDigest, signal }, require))
  }

  /**
   * Puts a version beside a name's own one, in place of one that is there, for a share of its requests between 0 and 1. It is read first. `expectedDigest` is of the name's own version.
   * Rejects with AdapterError; `adapter_version_not_found`: the name is nobody's.
   */
  setCanary(
    name: string,
    directory: string,
    share: number,
    { root = directory, pinned, ...judging }: Judging & { root?: string; pinned?: boolean } = {},
  ): Promise<Adapter> {
    const next = new Adapter(name, directory, root)
    return this.#inTurn(name, () =>
      this.#read(
        next,
        judging,
        () => this.#known(name),
        (there) => {
          next.pinned = pinned ?? there.pinned
          this.#endCanary(there)
          return this.#addCanary(there, canaryOf(next, share, next.digest as string))
        },
      ),
    )
  }

  /** Gives a name, which is known, the canary that it had before a restart, by the digest that it was set with. Nothing is read. */
  enterCanary(name: string, directory: string, share: number, identity: string, root = directory): Canary {
    const canary = canaryOf(new Adapter(name, directory, root), share, identity)
    this.#addCanary(this.#known(name), canary)
    return canary
  }

  /** Gives a name's canary another share. `expectedDigest` is of the name's own version. */
  weigh(name: string, share: number, { expectedDigest, signal }: Judging = {}): Promise<Adapter> {
    return this.#inTurn(name, async () => {
      await this.#requireDigest(name, expectedDigest, signal)
      const there = this.#known(name)
      requireCanary(there).share = share
      return there
    })
  }

  /** Makes a name's canary its own version, and lets the old one go. The canary is read first if need be; `expectedDigest` is of it. */
  promote(name: string, { expectedDigest, signal }: Judging = {}): Promise<Adapter> {
    return this.#inTurn(name, async () => {
      const canary = requireCanary(this.#known(name))
      const { adapter } = canary
      const lease = await this.lease([adapter], signal)
      try {
        const there = this.#known(name)
        if (there.canary !== canary) throw versionNotFound(`the canary of ${name} has gone meanwhile`)
        requireDigest(name, adapter.digest, expectedDigest)
        adapter.previous = previousOf(there)
        adapter.limits = there.limits
        adapter.formats = there.formats
        there.canary = undefined
        this.#retire(name)
        return this.#enter(adapter)
      } finally {
        lease.release()
      }
    })
  }

  /**
   * Lets a name's canary go; without one, puts back what the name stood for before, if its folder holds that still. `expectedDigest` is of the version that goes. Returns the name's own
   * version then. Rejects with AdapterError; `adapter_version_not_found`: there is nothing to go back to.
   */
  rollback(name: string, judging: Judging = {}): Promise<Adapter> {
    return this.#inTurn(name, async () => {
      const there = this.#known(name)
      const { canary, previous } = there
      if (canary) {
        // Also where its files are gone, or have never been read again.
        requireDigest(name, canary.adapter.digest ?? canary.identity, judging.expectedDigest)
        this.#endCanary(there)
        return there
      }
      if (!previous) throw versionNotFound(`the adapter ${name} has no canary, and it is not known what it was before`)
      const next = new Adapter(name, previous.directory, previous.root)
      return this.#succeed(next, judging, () => {
        if (next.digest === undefined || previous.digest === undefined || next.digest === previous.digest) return
        throw versionNotFound(
          `the adapter ${name} was ${previous.digest} before, and the folder of that holds ${next.digest} now`,
        )
      })
    })
  }

  /** The own versions of the names that have canaries. */
  canaries(): Adapter[] {
    return [...this.#canaried].flatMap((name) => {
      const adapter = this.#adapters.get(name)
      if (adapter?.canary) return [adapter]
      this.#canaried.delete(name)
      return []
    })
  }

  /** Ends a name with all its versions. True if there was one. What uses it goes on; it is gone with the last of that. */
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

  /** What was never read has no digest to compare: it is read. */
  async #requireDigest(name: string, expected: string | undefined, signal?: AbortSignal): Promise<void> {
    if (expected === undefined) return
    const there = this.#adapters.get(name)
    if (there && there.digest === undefined) (await this.lease([there], signal)).release()
    requireDigest(name, this.#adapters.get(name)?.digest, expected)
  }

  /** Has `next` read, then makes a change with it. `require` takes what its name stands for, before and after the reading, and throws what is against it. */
  async #read<T>(
    next: Adapter,
    { expectedDigest, signal }: Judging,
    require: (there: Adapter | undefined) => T,
    change: (there: T) => Adapter,
  ): Promise<Adapter> {
    const { name } = next
    await this.#requireDigest(name, expectedDigest, signal)
    require(this.#adapters.get(name))
    const lease = await this.lease([next], signal)
    try {
      const there = this.#adapters.get(name)
      requireDigest(name, there?.digest, expectedDigest)
      return change(require(there))
    } catch (error) {
      next.retired = true
      throw error
    } finally {
      lease.release()
    }
  }

  /** Has a name stand for `next`. The canary stays. */
  #succeed(next: Adapter, judging: Judging, require: (there: Adapter | undefined) => void): Promise<Adapter> {
    const known = (there: Adapter | undefined) => {
      require(there)
      return there
    }
    return this.#read(next, judging, known, (there) => {
      if (there) {
        next.origin = there.origin
        next.pinned = there.pinned
        next.limits = there.limits
        next.formats = there.formats
        const same = there.digest === next.digest && there.directory === next.directory
        next.previous = same ? there.previous : previousOf(there)
        next.canary = there.canary
        there.canary = undefined
      }
      this.#retire(next.name)
      return this.#enter(next)
    })
  }

  #known(name: string): Adapter {
    const adapter = this.#adapters.get(name)
    if (adapter) return adapter
    throw versionNotFound(`there is no adapter ${name}`)
  }

  #addCanary(to: Adapter, canary: Canary): Adapter {
    to.canary = canary
    this.#canaried.add(to.name)
    return to
  }

  #endCanary(of: Adapter): void {
    const { canary } = of
    of.canary = undefined
    if (canary) this.#drain(canary.adapter)
  }

  #retire(name: string): boolean {
    const adapter = this.#adapters.get(name)
    if (!adapter) return false
    this.#adapters.delete(name)
    this.#endCanary(adapter)
    this.#drain(adapter)
    return true
  }

  /** It goes with its last lease. */
  #drain(adapter: Adapter): void {
    adapter.retired = true
    adapter.pinned = false
    if (adapter.leases > 0) this.#draining.add(adapter)
    else this.#memory.drop(adapter)
  }

  /** All who want it share one load. */
  #load(adapter: Adapter): Promise<void> {
    adapter.loading ??= this.#bring(adapter).finally(() => {
      adapter.loading = undefined
    })
    return adapter.loading
  }

  async #bring(adapter: Adapter): Promise<void> {
    const { name, directory, root } = adapter
    const started = performance.now()
    let image: AdapterImage
    try {
      image = await this.#loader.load(name, directory, root)
      const bytes = hostBytes(image)
      if (bytes > this.#memory.limit) throw beyondHostMemory(bytes, this.#memory.limit)
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

/** Of an adapter that could never be in host memory. */
export const beyondHostMemory = (bytes: number, limit: number) =>
  new AdapterError('adapter_too_large', `packed, it takes ${bytes} bytes, and host memory has ${limit} (--host-memory)`)

/** Whether a folder is there and looks like an adapter's. */
export const isAdapterFolder = (directory: string) => existsSync(join(directory, CONFIG_FILE))
