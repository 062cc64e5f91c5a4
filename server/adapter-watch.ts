/** Serves what appears in a folder of adapters, replaces what changes, lets go what goes. */
import { readdir, stat } from 'node:fs/promises'
import path from 'node:path'
import { type FSWatcher, watch } from 'chokidar'
import type { Logger } from 'pino'
import { type AdapterRegistry, asAdapterError, isAdapterFolder, TEXT_FILES } from '../adapters-store/index.ts'

/** Milliseconds for which a file must stay as it is: a copy that is under way grows. */
const WHOLE_AFTER = 1000
const FILES = new Set(['adapter_config.json', 'adapter_model.safetensors', 'config.json', ...TEXT_FILES])

export interface WatchSettings {
  /** Told of each name that has come. */
  entered?: (name: string) => Promise<void>
  /** For tests. */
  wholeAfter?: number
}

export class AdapterWatch {
  private readonly folder: string
  private readonly registry: AdapterRegistry
  private readonly log: Pick<Logger, 'info' | 'warn'>
  private readonly entered: (name: string) => Promise<void>
  private readonly wholeAfter: number
  private watcher: FSWatcher
  /** The folder that the watcher hears of: its path may come to be another's. undefined: none is there. */
  private followed: Place | undefined
  /** What was in it when it was listed. */
  private listed = new Set<string>()
  private readonly following: NodeJS.Timeout
  private closed = false
  /** Names whose files have changed, until that is dealt with. */
  private readonly changed = new Map<string, NodeJS.Timeout>()

  constructor(
    folder: string,
    registry: AdapterRegistry,
    log: Pick<Logger, 'info' | 'warn'>,
    { entered = async () => {}, wholeAfter = WHOLE_AFTER }: WatchSettings = {},
  ) {
    this.folder = path.resolve(folder)
    this.registry = registry
    this.log = log
    this.entered = entered
    this.wholeAfter = wholeAfter
    this.watcher = this.listen(true)
    this.following = setInterval(() => this.follow(), wholeAfter).unref()
  }

  /** Resolves when changes from now on are heard. */
  async ready(): Promise<void> {
    this.followed = await placeOf(this.folder).catch(() => undefined)
    this.listed = await namesIn(this.folder)
    await new Promise<void>((resolve) => this.watcher.once('ready', () => resolve()))
  }

  close(): Promise<void> {
    this.closed = true
    clearInterval(this.following)
    for (const timer of this.changed.values()) clearTimeout(timer)
    return this.watcher.close()
  }

  /** `ignoreInitial`: what is there already is no news. */
  private listen(ignoreInitial: boolean): FSWatcher {
    const watcher = watch(this.folder, {
      // The folder, its folders, their files.
      depth: 1,
      ignoreInitial,
      // Files that are renamed into place (as the hub's and rsync's are) come whole.
      awaitWriteFinish: { stabilityThreshold: this.wholeAfter, pollInterval: Math.max(20, this.wholeAfter / 10) },
      ignored: (file) => path.basename(file).startsWith('.') && path.resolve(file) !== this.folder,
    })
    watcher.on('all', (_event, file) => this.heard(file))
    watcher.on('error', (error) => this.log.warn(`the folder of adapters cannot be watched: ${(error as Error).message}`))
    return watcher
  }

  /**
   * What the watcher does not hear: another folder under the path (made anew, renamed into place, or a link that leads elsewhere now), and of many that come and go within
   * milliseconds some.
   */
  private async follow(): Promise<void> {
    // What cannot be told is as it was: a network file system may be away for a while.
    const now = await placeOf(this.folder).catch(() => this.followed)
    const before = this.followed
    if (this.closed || (now?.identity === before?.identity && now?.changed === before?.changed)) return
    this.followed = now
    const another = now?.identity !== before?.identity
    if (another) {
      await this.watcher.close()
      if (this.closed) return
      if (now) this.watcher = this.listen(false)
    }
    const names = await namesIn(this.folder)
    for (const name of new Set([...names, ...this.listed]))
      if (another || names.has(name) !== this.listed.has(name)) this.heard(path.join(this.folder, name))
    this.listed = names
  }

  /** Both files of an adapter may change one after the other: it is looked at once, when nothing comes any more. */
  private heard(file: string): void {
    const [name, inside, ...deeper] = path.relative(this.folder, file).split(path.sep)
    if (name === '' || name === '..' || deeper.length > 0 || (inside !== undefined && !FILES.has(inside))) return
    clearTimeout(this.changed.get(name))
    const look = () => {
      this.changed.delete(name)
      this.look(name).catch((error) => this.log.warn(`adapter ${name}: ${asAdapterError(error).detail}`))
    }
    this.changed.set(name, setTimeout(look, this.wholeAfter))
  }

  private async look(name: string): Promise<void> {
    const directory = path.join(this.folder, name)
    const adapter = this.registry.get(name)
    // Somebody has given the name another folder.
    if (adapter && adapter.directory !== directory) return
    if (!isAdapterFolder(directory)) {
      if (adapter && this.registry.remove(name)) this.log.info(`adapter ${name} is gone`)
    } else if (!adapter) {
      this.registry.enter(name, directory, this.folder).origin = 'folder'
      this.log.info(`adapter ${name} is served`)
      await this.entered(name)
    } else if (adapter.digest !== undefined) {
      const { digest } = await this.registry.replace(name, directory, { root: this.folder })
      if (digest !== adapter.digest) this.log.info(`adapter ${name} is replaced by ${digest}`)
    }
    // What was never read, or was refused, is read when somebody wants it.
  }
}

interface Place {
  /** Tells the folder from any other that has been under the path. */
  identity: string
  /** When something came to it or went from it last. */
  changed: bigint
}

/** Of a folder, after links; undefined: none is there. Rejects with the system's error where that cannot be told. */
async function placeOf(folder: string): Promise<Place | undefined> {
  try {
    const { dev, ino, birthtimeNs, ctimeNs, mtimeNs } = await stat(folder, { bigint: true })
    // A number may be given again at once. File systems that know of no birth tell the last change instead.
    return { identity: `${dev}:${ino}:${birthtimeNs === ctimeNs ? '' : birthtimeNs}`, changed: mtimeNs }
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined
    throw error
  }
}

async function namesIn(folder: string): Promise<Set<string>> {
  const names = await readdir(folder).catch(() => [])
  return new Set(names.filter((name) => !name.startsWith('.')))
}
