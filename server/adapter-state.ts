/** What was registered over HTTP, for the next start: an embedded store (LMDB) under `--state-dir`. */
import path from 'node:path'
import { open, type RootDatabase } from 'lmdb'
import type { Adapter } from '../adapters-store/index.ts'
import { ConfigError } from './config/values.ts'
import { makeFolder } from './folders.ts'

/** A version, and where it lies. */
interface Place {
  directory: string
  root: string
}

/** What a name stands for, with all its versions. */
export interface Registered extends Place {
  pinned: boolean
  /** `digest`: as it was when it was set. */
  canary?: Place & { pinned: boolean; share: number; digest: string }
  previous?: Place & { digest?: string }
}

/** What became of a name: that, or that it was taken away although the folder of adapters has it. One record, so that a change is there whole or not at all. */
export type Registration = Registered | { removed: true }

export function registrationOf({ directory, root, pinned, canary, previous }: Adapter): Registered {
  const registered: Registered = { directory, root, pinned }
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

  /** Throws ConfigError when the folder cannot be used. */
  constructor(directory: string) {
    try {
      makeFolder(directory)
      this.database = open<Registration, string>({ path: path.join(directory, 'adapters.lmdb') })
    } catch (error) {
      throw new ConfigError(`the state folder cannot be used: ${(error as Error).message}`)
    }
  }

  /** By name. */
  all(): Map<string, Registration> {
    return new Map([...this.database.getRange()].map(({ key, value }) => [key, value]))
  }

  /** Resolves when it is on the disk: what a client was told survives a power cut. */
  async put(name: string, registration: Registration): Promise<void> {
    await this.database.put(name, registration)
    await this.database.flushed
  }

  /** Forgets a name. */
  async remove(name: string): Promise<void> {
    await this.database.remove(name)
    await this.database.flushed
  }

  close(): Promise<void> {
    return this.database.close()
  }
}
