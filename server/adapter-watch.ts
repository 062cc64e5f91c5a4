/** Serves what appears in a folder of adapters, replaces what changes, lets go what goes. */
import path from 'node:path'
import { type FSWatcher, watch } from 'chokidar'
import type { Logger } from 'pino'
import { type AdapterRegistry, asAdapterError, isAdapterFolder, TEXT_FILES } from '../adapters-store/index.ts'

/** Milliseconds for which a file must stay as it is: a copy that is under way grows. */
const WHOLE_AFTER = 1000
const FILES = new Set(['adapter_config.json', 'adapter_model.safetensors', ...TEXT_FILES])

export class AdapterWatch {
  private readonly folder: string
  private readonly registry: AdapterRegistry
  private readonly log: Pick<Logger, 'info' | 'warn'>
  private readonly watcher: FSWatcher
  /** Names whose files have changed, until that is dealt with. */
  private readonly changed = new Map<string, NodeJS.Timeout>()

  /** `wholeAfter` is for tests. */
  constructor(folder: string, registry: AdapterRegistry, log: Pick<Logger, 'info' | 'warn'>, wholeAfter = WHOLE_AFTER) {
    this.folder = path.resolve(folder)
    this.registry = registry
    this.log = log
    this.watcher = watch(this.folder, {
      // The folder, its folders, their files.
      depth: 1,
      ignoreInitial: true,
      // Files that are renamed into place (as the hub's and rsync's are) come whole.
      awaitWriteFinish: { stabilityThreshold: wholeAfter, pollInterval: Math.max(20, wholeAfter / 10) },
      ignored: (file) => path.basename(file).startsWith('.') && path.resolve(file) !== this.folder,
    })
    this.watcher.on('all', (_event, file) => this.heard(file, wholeAfter))
    this.watcher.on('error', (error) => log.warn(`the folder of adapters cannot be watched: ${(error as Error).message}`))
  }

  /** Resolves when changes from now on are heard. */
  ready(): Promise<void> {
    return new Promise((resolve) => this.watcher.once('ready', () => resolve()))
  }

  close(): Promise<void> {
    for (const timer of this.changed.values()) clearTimeout(timer)
    return this.watcher.close()
  }

  /** Both files of an adapter may change one after the other: it is looked at once, when nothing comes any more. */
  private heard(file: string, milliseconds: number): void {
    const [name, inside, ...deeper] = path.relative(this.folder, file).split(path.sep)
    if (name === '' || name === '..' || deeper.length > 0 || (inside !== undefined && !FILES.has(inside))) return
    clearTimeout(this.changed.get(name))
    const look = () => {
      this.changed.delete(name)
      this.look(name).catch((error) => this.log.warn(`adapter ${name}: ${asAdapterError(error).detail}`))
    }
    this.changed.set(name, setTimeout(look, milliseconds))
  }

  private async look(name: string): Promise<void> {
    const directory = path.join(this.folder, name)
    const adapter = this.registry.get(name)
    // Somebody has given the name another folder.
    if (adapter && adapter.directory !== directory) return
    if (!isAdapterFolder(directory)) {
      if (adapter && this.registry.remove(name)) this.log.info(`adapter ${name} is gone`)
    } else if (!adapter) {
      this.registry.enter(name, directory, this.folder)
      this.log.info(`adapter ${name} is served`)
    } else if (adapter.digest !== undefined) {
      const { digest } = await this.registry.replace(name, directory, { root: this.folder })
      if (digest !== adapter.digest) this.log.info(`adapter ${name} is replaced by ${digest}`)
    }
    // What was never read, or was refused, is read when somebody wants it.
  }
}
