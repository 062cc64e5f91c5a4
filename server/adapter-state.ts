/** What was registered over HTTP, for the next start: an embedded store (LMDB) under `--state-dir`. */
import path from 'node:path'
import { open, type RootDatabase } from 'lmdb'
import { ConfigError } from './config/values.ts'
import { makeFolder } from './folders.ts'

/** What became of a name: the folder that it stands for (`hub`: where on the hub that came from, `org/name@commit`), or that it was taken away although the folder of adapters has it. */
export type Registration = { directory: string; root: string; pinned: boolean; hub?: string } | { removed: true }

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
