/** What was registered over HTTP, for the next start: an embedded store (LMDB) under `--state-dir`. */
import { spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import path from 'node:path'
import { open, type RootDatabase } from 'lmdb'
import type { Adapter, SaidFormats, UseLimits } from '../adapters-store/index.ts'
import { ConfigError } from './config/values.ts'
import { NotKept } from './errors.ts'
import { makeFolder } from './folders.ts'
import { requireFormat } from './state-format.ts'
import { StateLock } from './state-lock.ts'

/** A version, and where it lies. */
interface Place {
  directory: string
  root: string
}

/** What a name stands for, with all its versions. */
export interface Registered extends Place {
  pinned: boolean
  limits?: UseLimits
  formats?: SaidFormats
  /** `digest`: as it was when it was set. */
  canary?: Place & { pinned: boolean; share: number; digest: string }
  previous?: Place & { digest?: string }
}

/** What became of a name: that, or that it was taken away although the folder of adapters has it. One record, so that a change is there whole or not at all. */
export type Registration = Registered | { removed: true }

export const wasRemoved = (registration: Registration | undefined): registration is { removed: true } =>
  registration !== undefined && 'removed' in registration

export function registrationOf({ directory, root, pinned, limits, formats, canary, previous }: Adapter): Registered {
  const registered: Registered = { directory, root, pinned }
  if (limits) registered.limits = limits
  if (formats) registered.formats = formats
  if (canary) {
    const { adapter, share, identity } = canary
    registered.canary = {
      directory: adapter.directory,
      root: adapter.root,
      pinned: adapter.pinned,
      share,
      digest: identity,
    }
  }
  if (previous) registered.previous = previous
  return registered
}

export class AdapterState {
  private readonly database: RootDatabase<Registration, string>
  private readonly lock: StateLock
  /** The change before, whatever became of it. */
  private before: Promise<unknown> = Promise.resolve()

  /** Throws ConfigError when the folder cannot be used. */
  constructor(directory: string) {
    try {
      makeFolder(directory)
      this.lock = new StateLock(directory)
      requireFormat(directory)
      const file = path.join(directory, 'adapters.lmdb')
      requireReadable(file)
      // With batches by turns of the event loop, LMDB's package rejects a promise of its own when a commit fails, which nobody can catch: a full disk would end the process.
      this.database = open<Registration, string>({ path: file, eventTurnBatching: false })
    } catch (error) {
      if (error instanceof ConfigError) throw error
      throw new ConfigError(`the state folder cannot be used: ${(error as Error).message}`)
    }
  }

  /** By name. */
  all(): Map<string, Registration> {
    return new Map([...this.database.getRange()].map(({ key, value }) => [key, value]))
  }

  /** Resolves when it is on the disk: what a client was told survives a power cut. Rejects with NotKept. */
  put(name: string, registration: Registration): Promise<void> {
    return this.kept(() => this.database.put(name, registration))
  }

  /** Forgets that a name was taken away, if it was. Rejects with NotKept. */
  async bringBack(name: string): Promise<void> {
    if (wasRemoved(this.database.get(name))) await this.remove(name)
  }

  /** Forgets a name. Rejects with NotKept. */
  remove(name: string): Promise<void> {
    return this.kept(() => this.database.remove(name))
  }

  /** One change after the other: of several in one commit that fails, LMDB's package leaves some without an answer. */
  private kept(change: () => Promise<boolean>): Promise<void> {
    const mine = this.before.then(() => this.commit(change))
    this.before = mine.catch(() => undefined)
    return mine
  }

  private async commit(change: () => Promise<boolean>): Promise<void> {
    try {
      await change()
      await this.database.flushed
    } catch (error) {
      // The system's error comes later, as a promise that must be heard.
      const cause = await (error as { commitError?: Promise<never> }).commitError?.catch((reason: Error) => reason)
      throw new NotKept('the state folder cannot be written', { cause: cause ?? error })
    }
  }

  async close(): Promise<void> {
    await this.before
    await this.database.close()
    this.lock.release()
  }
}

/** LMDB maps its file: one that is cut off, or holds something else, ends by a signal whoever reads it. So a process apart reads it first. */
function requireReadable(file: string): void {
  if (!statSync(file, { throwIfNoEntry: false })?.size) return
  const { signal, status, stderr, error } = spawnSync(process.execPath, [path.join(import.meta.dirname, 'read-state.js'), file], {
    encoding: 'utf8',
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  if (error) throw error
  if (status === 0) return
  const how = signal ?? stderr.trim().split('\n').at(-1)
  throw new Error(
    `${file} cannot be read (${how}): it is damaged or something else; put a copy of it there, or move it away and register its adapters again`,
  )
}
