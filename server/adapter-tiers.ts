/** A server's adapters, put together from its configuration: where they are read from, where they are kept, and what becomes of them while it runs. */
import { accessSync, constants, existsSync } from 'node:fs'
import path from 'node:path'
import type { Logger } from 'pino'
import { AdapterRegistry, AdapterStore, type BaseModel, HostMemory } from '../adapters-store/index.ts'
import type { Engine } from '../runtime/index.ts'
import { rootOf } from './adapter-management.ts'
import { AdapterState, type Registration } from './adapter-state.ts'
import { AdapterWatch } from './adapter-watch.ts'
import { machineMemory } from './config/memory.ts'
import type { Config } from './config/settings.ts'
import { ConfigError } from './config/values.ts'
import { makeFolder } from './folders.ts'

/** As many adapters are brought into host memory at once; of more, those that somebody wants. */
const FEW = 256

export class AdapterTiers {
  readonly registry: AdapterRegistry
  private readonly memory: HostMemory
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
  constructor(config: Config, folder: string | undefined, base: BaseModel, engine: Engine, log: Logger) {
    this.config = config
    this.folder = folder
    this.roots = [folder ?? [], config.adapterRoots ?? []].flat()
    for (const root of config.adapterRoots ?? [])
      if (!existsSync(root)) throw new ConfigError(`the folder ${root} of --adapter-roots does not exist`)
    this.state = config.stateDir === undefined ? undefined : new AdapterState(path.resolve(config.stateDir))
    this.log = log
    const { adapterDtype: dtype, blockBytes, frameBytes } = engine.info
    const layout = { dtype, blockBytes, frameBytes }
    this.store = new AdapterStore(base, layout, { cache: imageCacheOf(config) })
    this.memory = new HostMemory(config.hostMemory ?? Math.floor(machineMemory() / 4), {
      came: (image) => engine.addAdapter(image),
      went: (digest, name) => engine.removeAdapter(digest, name),
    })
    this.registry = new AdapterRegistry(this.store, this.memory)
    this.registry.onLoad = ({ name, warnings = [] }) => {
      for (const warning of warnings) log.warn(`adapter ${name}: ${warning}`)
    }
  }

  /** Makes those in the folder known, and those that are named one by one. Throws AdapterError. */
  enter(): void {
    const registered = this.state?.all() ?? new Map<string, Registration>()
    for (const [name, registration] of registered) if (!('removed' in registration)) this.enterAgain(name, registration)
    if (this.folder !== undefined)
      this.registry.scan(
        this.folder,
        (warning) => this.log.warn(warning),
        (name) => !registered.has(name),
      )
    for (const [name, directory] of Object.entries(this.config.adapter)) this.registry.enter(name, directory)
  }

  /** As it was registered over HTTP before the last end, unless that is no place to read from any more. */
  private enterAgain(name: string, { directory, pinned }: Extract<Registration, { directory: string }>): void {
    const root = rootOf(directory, this.roots)
    if (root === undefined) {
      this.log.warn(
        `adapter ${name}, registered over HTTP, lies in ${directory}, outside --adapters and --adapter-roots: it is not served`,
      )
      return
    }
    this.registry.enter(name, directory, root).pinned = pinned
  }

  /** What goes on beside serving, until `close`. Resolves when changes of the folder are heard. */
  async start(): Promise<void> {
    if (this.config.watch && this.folder !== undefined) this.watch = new AdapterWatch(this.folder, this.registry, this.log)
    await this.watch?.ready()
    const idle = this.config.adapterIdleTimeout * 1000
    if (idle > 0) this.idling = setInterval(() => this.memory.dropIdle(idle), Math.max(1000, idle / 4)).unref()
  }

  /** Few adapters are loaded before anybody wants them, so that the first request does not wait and whoever started the server sees what is refused. */
  async preload(): Promise<void> {
    const all = this.registry.list()
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
  const directory = path.resolve(imageCache)
  try {
    makeFolder(directory)
    accessSync(directory, constants.W_OK | constants.R_OK)
  } catch (error) {
    throw new ConfigError(`the image cache cannot be used: ${(error as Error).message}`)
  }
  return { directory, maxBytes: imageCacheSize }
}
