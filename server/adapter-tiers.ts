/** A server's adapters, put together from its configuration: where they are read from, where they are kept, and what becomes of them while it runs. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import type { Logger } from 'pino'
import {
  AdapterRegistry,
  AdapterStore,
  type BaseModel,
  HostMemory,
  type HubDownloads,
  hubOfFolder,
  hubText,
} from '../adapters-store/index.ts'
import type { Engine } from '../runtime/index.ts'
import { AdapterHub } from './adapter-hub.ts'
import { rootOf } from './adapter-management.ts'
import { AdapterState, type Registered, type Registration, wasRemoved } from './adapter-state.ts'
import { AdapterWatch } from './adapter-watch.ts'
import { hostMemoryOf, loadOptions } from './config/adapter-options.ts'
import type { Config } from './config/settings.ts'
import { ConfigError } from './config/values.ts'
import { cacheFolder } from './folders.ts'
import { hubNameOf } from './hub-model.ts'
import { PinnedAdapters } from './pinned-adapters.ts'
import type { OwnTexts } from './tokenizer/adapter-texts.ts'

/** As many adapters are brought into host memory at once; of more, those that somebody wants. */
const FEW = 256
/** What an adapter's files may have beside its weights: a tokenizer, mostly. */
const TEXTS = 64 << 20

export class AdapterTiers {
  readonly registry: AdapterRegistry
  /** Told of each adapter that was read, with the seconds that it took. */
  onRead?: (seconds: number) => void
  readonly memory: HostMemory
  readonly hub: AdapterHub
  readonly pinned: PinnedAdapters
  private readonly store: AdapterStore
  private readonly config: Config
  private readonly folder: string | undefined
  /** Folders that adapters may be loaded from over HTTP. */
  readonly roots: readonly string[]
  readonly state: AdapterState | undefined
  private readonly log: Logger
  private watch: AdapterWatch | undefined
  private idling: NodeJS.Timeout | undefined

  /** `folder`: whose subfolders are adapters. Throws ConfigError. */
  constructor(
    config: Config,
    folder: string | undefined,
    base: BaseModel,
    { engine, texts, downloads, log }: { engine: Engine; texts: OwnTexts; downloads: HubDownloads; log: Logger },
  ) {
    this.config = config
    this.folder = folder
    this.roots = [folder ?? [], config.adapterRoots ?? []].flat()
    for (const root of config.adapterRoots ?? [])
      if (!existsSync(root)) throw new ConfigError(`the folder ${root} of --adapter-roots does not exist`)
    this.state = config.stateDir === undefined ? undefined : new AdapterState(path.resolve(config.stateDir))
    this.log = log
    const options = loadOptions(config, engine.info)
    this.store = new AdapterStore(base, options, { cache: imageCacheOf(config) })
    this.memory = new HostMemory(
      hostMemoryOf(config),
      {
        // The engine knows ids alone.
        came: ({ text: _, ...image }) => engine.addAdapter(image),
        went: (digest, name) => engine.removeAdapter(digest, name),
      },
      { most: config.maxCpuLoras },
    )
    const load = async (name: string, directory: string, root?: string) =>
      texts.admit(await this.store.load(name, directory, root))
    this.registry = new AdapterRegistry({ load }, this.memory)
    // Weights of 32 bits are packed to half of their size.
    const maxBytes = 2 * Math.min(options.limits.bytes, this.memory.limit) + TEXTS
    this.hub = new AdapterHub(downloads, this.registry, { allow: config.hubAllow ?? [], maxBytes }, log)
    this.pinned = new PinnedAdapters(this.registry, this.hub)
    this.registry.onLoad = ({ name, warnings = [], loadMs = 0 }) => {
      this.onRead?.(loadMs / 1000)
      for (const warning of warnings) log.warn(`adapter ${name}: ${warning}`)
    }
  }

  /** Makes those in the folder known, and those that are named one by one, which may come from the hub. Rejects with AdapterError and ConfigError. */
  async enter(): Promise<void> {
    const registered = this.state?.all() ?? new Map<string, Registration>()
    for (const [name, registration] of registered) if (!wasRemoved(registration)) this.enterAgain(name, registration)
    if (this.folder !== undefined) {
      const found = this.registry.scan(
        this.folder,
        (warning) => this.log.warn(warning),
        (name) => !registered.has(name),
      )
      for (const adapter of found) adapter.origin = 'folder'
    }
    // What the name was given over HTTP goes before what the command line says of it.
    for (const [name, given] of Object.entries(this.config.adapter)) {
      if (wasRemoved(registered.get(name))) continue
      const hub = hubNameOf(given)
      if (this.registry.get(name) || this.hub.has(name)) continue
      if (hub) this.hub.name(name, { hub, origin: 'command_line', pinned: false })
      else this.registry.enter(name, given).origin = 'command_line'
    }
    await this.hub.enterNamed()
    for (const [name, registration] of registered) if (!wasRemoved(registration)) this.enterVersions(name, registration)
  }

  /** As it was registered over HTTP before the last end, unless that is no place to read from any more. What came from the hub is looked for in its cache, and there again. */
  private enterAgain(name: string, { directory, pinned, limits, formats }: Registered): void {
    const root = this.placeOf(name, directory)
    const hub = hubOfFolder(directory)?.name
    if (root !== undefined && pinned) this.pinned.await(name)
    if (root === undefined) this.warnOutside(`adapter ${name}`, directory)
    else if (hub && rootOf(directory, this.roots) === undefined)
      this.hub.name(name, { hub, origin: 'api', pinned, limits, formats })
    else {
      const adapter = this.registry.enter(name, directory, root)
      // It may only have been pinned over HTTP.
      const found = this.folder !== undefined && directory === path.resolve(this.folder, name)
      adapter.origin = found ? 'folder' : 'api'
      adapter.pinned = pinned
      adapter.limits = limits
      adapter.formats = formats
    }
  }

  /** The canary of a name, and what it was before. */
  private enterVersions(name: string, { canary, previous }: Registered): void {
    const adapter = this.registry.get(name)
    if (!adapter) return
    if (previous && this.placeOf(name, previous.directory) !== undefined) adapter.previous = previous
    if (!canary) return
    const { directory, share, digest, pinned } = canary
    const root = this.placeOf(name, directory)
    if (root !== undefined) {
      const { adapter: version } = this.registry.enterCanary(name, directory, share, digest, root)
      version.origin = 'api'
      version.pinned = pinned
    } else this.warnOutside(`the canary of adapter ${name}`, directory)
  }

  /** Where symbolic links of a folder may lead; undefined: the folder may not be read from. */
  private placeOf(name: string, directory: string): string | undefined {
    const named = this.config.adapter[name]
    if (named !== undefined && path.resolve(named) === directory) return directory
    const hub = hubOfFolder(directory)
    const allowed = hub && (this.hub.allows(hub.name) || (named !== undefined && hubNameOf(named)?.repo === hub.name.repo))
    return rootOf(directory, this.roots) ?? (allowed ? hub.root : undefined)
  }

  private warnOutside(what: string, directory: string): void {
    const hub = hubOfFolder(directory)?.name
    if (hub) {
      this.log.warn(`${what}, registered over HTTP, is ${hubText(hub)}, which --hub-allow does not allow: it is not served`)
      return
    }
    this.log.warn(`${what}, registered over HTTP, lies in ${directory}, outside --adapters and --adapter-roots: it is not served`)
  }

  /** What goes on beside serving, until `close`. Resolves when changes of the folder are heard. */
  async start(): Promise<void> {
    // What comes while the server runs is there at the next start too, although it was unloaded once.
    const entered = async (name: string) => this.state?.bringBack(name)
    if (this.config.watch && this.folder !== undefined)
      this.watch = new AdapterWatch(this.folder, this.registry, this.log, { entered })
    await this.watch?.ready()
    const idle = this.config.adapterIdleTimeout * 1000
    if (idle > 0) this.idling = setInterval(() => this.memory.dropIdle(idle), Math.max(1000, idle / 4)).unref()
  }

  /** What is pinned, and few others, are loaded before anybody wants them, so that the first request does not wait and whoever started the server sees what is refused. */
  async preload(): Promise<void> {
    await this.pinned.load()
    const canaries = this.registry.canaries().flatMap(({ canary }) => canary?.adapter ?? [])
    const all = [...this.registry.list(), ...canaries]
    if (all.length > FEW) return
    const bytes = all.reduce((sum, adapter) => sum + adapter.expectedBytes, 0)
    if (bytes > this.memory.limit) return
    for (const adapter of all)
      await this.registry.lease([adapter]).then(
        ({ release }) => release(),
        // onRefusal has told.
        () => undefined,
      )
  }

  /** No change is heard any more; what runs goes on. */
  async stop(): Promise<void> {
    clearInterval(this.idling)
    this.pinned.close()
    this.hub.close()
    await this.watch?.close()
  }

  /** Ends loads that are under way, and what was kept is closed. */
  async close(): Promise<void> {
    await this.store.close()
    await this.state?.close()
  }
}

/** undefined: none. Throws ConfigError for a folder that cannot be written. */
function imageCacheOf({ imageCache, imageCacheSize }: Config): { directory: string; maxBytes: number } | undefined {
  if (imageCache === undefined) return undefined
  return { directory: cacheFolder('the image cache', imageCache), maxBytes: imageCacheSize }
}
