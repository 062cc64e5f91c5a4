/** The host tier as the engine keeps it: the images that sequences may name, pinned for the device, and forgotten once those that are to go are used by nobody. */
import type { NativeEngine } from '../../native/types.ts'
import type { Pool } from '../pool/pool.ts'
import type { AdapterImage, AdapterUse } from '../types.ts'

type Pinning = Pick<NativeEngine, 'pinImage' | 'unpinImage'>

export class Adapters {
  /** By digest. */
  readonly images = new Map<string, AdapterImage>()
  private readonly native: Pinning
  private readonly pool: Pool
  private readonly warn: (message: string) => void
  /** Open sequences by the digest that they name. */
  private readonly users = new Map<string, number>()
  /** To be forgotten once nobody uses them. */
  private readonly leaving = new Set<string>()
  private pinsRefused = false

  constructor(native: Pinning, pool: Pool, warn: (message: string) => void) {
    this.native = native
    this.pool = pool
    this.warn = warn
  }

  add(image: AdapterImage): void {
    this.leaving.delete(image.digest)
    if (this.images.has(image.digest)) return
    this.images.set(image.digest, image)
    this.pin(image)
  }

  /** It goes at once, or with the last sequence that uses it. */
  remove(digest: string): void {
    if (!this.images.has(digest)) return
    this.leaving.add(digest)
    this.dropIfUnused(digest)
  }

  /** A sequence that names them is open, until `release`. */
  acquire(uses: readonly AdapterUse[]): void {
    for (const { digest } of uses) this.users.set(digest, (this.users.get(digest) ?? 0) + 1)
  }

  release(uses: readonly AdapterUse[]): void {
    for (const { digest } of uses) {
      const left = (this.users.get(digest) ?? 0) - 1
      if (left > 0) this.users.set(digest, left)
      else this.users.delete(digest)
      this.dropIfUnused(digest)
    }
  }

  /** Gives the images' memory back; nothing may be submitted after this. */
  close(): void {
    for (const digest of [...this.images.keys()]) this.forget(digest)
  }

  /** An image that cannot be pinned (the system's limit on locked memory) is served all the same: its copies pass through a buffer and take the host's time. */
  private pin({ name, image }: AdapterImage): void {
    try {
      this.native.pinImage(new Uint8Array(image))
    } catch (error) {
      if (!this.pinsRefused)
        this.warn(
          `the memory of adapter ${name} cannot be pinned, so its copies to the device are slower: ${(error as Error).message}; ` +
            'this is told once (if it is the limit on locked memory: ulimit -l)',
        )
      this.pinsRefused = true
    }
  }

  private dropIfUnused(digest: string): void {
    if (!this.leaving.has(digest) || this.users.has(digest)) return
    const resident = this.pool.adapters.get(digest)
    if (resident) {
      this.pool.adapters.evict(resident)
      this.pool.adapters.removed++
    }
    this.pool.prefixes.dropWhere((key) => key.includes(digest))
    this.forget(digest)
    this.leaving.delete(digest)
  }

  /** The addon lets the image's bytes go before they can be collected. */
  private forget(digest: string): void {
    const image = this.images.get(digest)
    if (image) this.native.unpinImage(new Uint8Array(image.image))
    this.images.delete(digest)
  }
}
