/** The keys that open this server. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { statSync } from 'node:fs'
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
  private readonly log: Pick<Logger, 'info' | 'error'>
  private readonly looking: NodeJS.Timeout | undefined
  /** The file as it was last. */
  private seen: string

  /** `given`: of the command line, before those of the file. Throws ConfigError when the file cannot be read or holds no entries. */
  constructor(given: readonly KeyEntry[], file: string | undefined, log: Pick<Logger, 'info' | 'error'>, lookEvery = LOOK_EVERY) {
    this.given = given
    this.file = file
    this.log = log
    // Before it is read: what changes while it is read is read again.
    this.seen = this.identity()
    this.take(file === undefined ? [] : readKeyFile(file))
    if (this.holders.size === 0) log.error(`${file} holds no key: nobody can use this server`)
    if (file !== undefined) this.looking = setInterval(() => this.look(), lookEvery).unref()
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
    clearInterval(this.looking)
  }

  /** Reads the file again if it is another than before. */
  private look(): void {
    const now = this.identity()
    if (now === this.seen) return
    this.seen = now
    try {
      this.take(readKeyFile(this.file as string))
      this.log.info(`${this.file} was read again: ${this.holders.size} keys`)
    } catch (error) {
      // A file that is half written neither opens the server nor shuts anyone out.
      this.log.error(`${(error as Error).message}; the keys stay what they were`)
    }
  }

  private identity(): string {
    try {
      const { ino, size, mtimeNs } = statSync(this.file ?? '', { bigint: true })
      return `${ino}:${size}:${mtimeNs}`
    } catch {
      return 'none'
    }
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
