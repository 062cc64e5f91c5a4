/** The keys that open this server. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { type Stats, unwatchFile, watchFile } from 'node:fs'
import type { Logger } from 'pino'
import { KeyHolder } from './caller.ts'
import type { KeyEntry } from './key.ts'
import { readKeyFile } from './key-file.ts'

/** Milliseconds between two looks at the key file. It is looked at by its name: Kubernetes changes a secret by changing a link. */
const LOOK_EVERY = 2000

export class KeyRing {
  private holders = new Map<string, KeyHolder>()
  private readonly given: readonly KeyEntry[]
  private readonly file: string | undefined
  private readonly watch: ((now: Stats, before: Stats) => void) | undefined

  /** `given`: of the command line, before those of the file. Throws ConfigError when the file cannot be read or holds no entries. */
  constructor(given: readonly KeyEntry[], file: string | undefined, log: Pick<Logger, 'info' | 'error'>, lookEvery = LOOK_EVERY) {
    this.given = given
    this.file = file
    this.take(file === undefined ? [] : readKeyFile(file))
    if (file === undefined) return
    this.watch = (now, before) => {
      if (now.mtimeMs === before.mtimeMs && now.size === before.size && now.ino === before.ino) return
      try {
        this.take(readKeyFile(file))
        log.info(`${file} was read again: ${this.holders.size} keys`)
      } catch (error) {
        // A file that is half written neither opens the server nor shuts anyone out.
        log.error(`${(error as Error).message}; the keys stay what they were`)
      }
    }
    watchFile(file, { interval: lookEvery, persistent: false }, this.watch)
  }

  get size(): number {
    return this.holders.size
  }

  /**
   * Who holds a key. It is found by its hash, so that how long that takes tells nothing of any key, however many there are; undefined: nobody.
   */
  holder(key: string): KeyHolder | undefined {
    const digest = createHash('sha256').update(key).digest()
    const holder = this.holders.get(digest.toString('hex'))
    return holder && timingSafeEqual(Buffer.from(holder.sha256, 'hex'), digest) ? holder : undefined
  }

  close(): void {
    if (this.file !== undefined && this.watch) unwatchFile(this.file, this.watch)
  }

  private take(entries: readonly KeyEntry[]): void {
    const before = this.holders
    this.holders = new Map()
    for (const entry of [...entries, ...this.given]) {
      const known = before.get(entry.sha256)
      known?.change(entry)
      this.holders.set(entry.sha256, known ?? new KeyHolder(entry))
    }
  }
}
