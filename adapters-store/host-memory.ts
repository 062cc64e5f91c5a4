/** The host tier: which adapters' images are in memory, and whose turn it is to bring some in. */
import type { Adapter } from './adapter.ts'
import { AdapterError } from './errors.ts'
import { type AdapterImage, hostBytes } from './types.ts'

/** What is told of the tier's changes: the engine keeps the same images. */
export interface HostMemoryEvents {
  /** An adapter has its image; `image.name` is its name. */
  came(image: AdapterImage): void
  /** A content has gone; or, with `name`, only that name of it. */
  went(digest: string, name?: string): void
}

/** Adapters that are wanted together. */
interface Claim {
  adapters: readonly Adapter[]
  since: number
  grant(): void
  refuse(error: Error): void
}

/** Milliseconds for which those whose adapters are here may pass somebody who waits for room. Then nobody is let in before, so that room comes. */
const PASSING = 2000

/** Milliseconds that anybody waits for room. */
const PATIENCE = 30_000

/**
 * Bytes are counted once for each content, whatever the names that it has. Who wants adapters gets all of them at once or waits for all, in order, holding none: nobody who
 * holds some ever waits for others. What nobody uses goes when room is needed, the least valuable first: value is how long a load takes by how often it is used, per byte, aged by
 * what has been put out (GreedyDual-Size-Frequency, Cherkasova 1998).
 */
export class HostMemory {
  /** Adapters put out to make room, since the start. */
  evictions = 0
  /** Bytes. */
  readonly limit: number
  /** Adapters. */
  readonly most: number
  private readonly events: HostMemoryEvents
  private readonly patience: number
  private readonly now: () => number
  /** Who has the image of a content, by digest. */
  private readonly contents = new Map<string, { image: AdapterImage; adapters: Set<Adapter> }>()
  /** Value of each adapter that has its image. */
  private readonly values = new Map<Adapter, number>()
  private used = 0
  private reserved = 0
  /** Loads that room is kept for. */
  private coming = 0
  private age = 0
  private queue: Claim[] = []

  /** `limit` in bytes, and `most` adapters. `patience`: milliseconds after which who still waits for room is told that there is none. */
  constructor(
    limit: number,
    events: HostMemoryEvents,
    { most = Number.POSITIVE_INFINITY, patience = PATIENCE, now = () => performance.now() } = {},
  ) {
    this.limit = limit
    this.most = most
    this.patience = patience
    this.events = events
    this.now = now
  }

  /** Bytes of all images, and those kept for loads under way. */
  get bytes(): { used: number; reserved: number } {
    return { used: this.used, reserved: this.reserved }
  }

  /** Adapters that have their images. */
  get count(): number {
    return this.values.size
  }

  /**
   * Resolves when all of `adapters` are held: they have their images, or room for them that is kept until `land` or `give up`. Rejects with the signal's reason, or with AdapterError
   * `adapter_too_large` when they could never be here together.
   */
  claim(adapters: readonly Adapter[], signal?: AbortSignal): Promise<void> {
    const here = adapters.every((adapter) => adapter.image || adapter.loading)
    const [first] = this.queue
    // What somebody holds anyway takes nothing from who waits.
    const held = here && adapters.every(({ leases }) => leases > 0)
    if (held || (here && (!first || this.now() - first.since < PASSING))) {
      for (const adapter of adapters) this.hold(adapter)
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const leave = () => {
        clearTimeout(late)
        this.queue = this.queue.filter((other) => other !== claim)
        reject(signal?.reason)
        this.serve()
      }
      signal?.addEventListener('abort', leave, { once: true })
      const late = setTimeout(() => {
        this.queue = this.queue.filter((other) => other !== claim)
        claim.refuse(
          new AdapterError('adapter_no_room', 'all host memory is held by requests that run (--host-memory); try again later'),
        )
        this.serve()
      }, this.patience)
      late.unref()
      const settled = () => {
        clearTimeout(late)
        signal?.removeEventListener('abort', leave)
      }
      const claim: Claim = {
        adapters,
        since: this.now(),
        grant: () => {
          settled()
          resolve()
        },
        refuse: (error) => {
          settled()
          reject(error)
        },
      }
      this.queue.push(claim)
      this.serve()
    })
  }

  /** Ends a hold. */
  release(adapter: Adapter): void {
    adapter.leases--
    if (adapter.leases === 0 && adapter.retired) this.put(adapter)
    else if (this.isOver(0, 0)) this.trim()
    this.serve()
  }

  /** The image of an adapter that room was kept for. */
  land(adapter: Adapter, image: AdapterImage, milliseconds: number): void {
    this.unreserve(adapter)
    const same = this.contents.get(image.digest)
    // Host memory holds one content once.
    const own = same ? { ...image, image: same.image.image, rows: same.image.rows, entries: same.image.entries } : image
    adapter.loaded(own, milliseconds)
    if (same) same.adapters.add(adapter)
    else {
      this.contents.set(image.digest, { image: own, adapters: new Set([adapter]) })
      this.used += hostBytes(own)
    }
    this.appreciate(adapter)
    this.events.came({ ...own, name: adapter.name })
    // It may have become larger than was thought; what cannot be put out meanwhile is over the limit until it can.
    this.trim()
  }

  /** There will be no image of an adapter that room was kept for. */
  giveUp(adapter: Adapter): void {
    this.unreserve(adapter)
    this.serve()
  }

  /** Puts an adapter's image out, unless somebody holds it. */
  drop(adapter: Adapter): void {
    if (adapter.leases > 0 || !adapter.image) return
    this.put(adapter)
    this.serve()
  }

  /** Puts out what has not been used for so many milliseconds. */
  dropIdle(milliseconds: number): void {
    const before = Date.now() - milliseconds
    for (const adapter of [...this.values.keys()])
      if (!adapter.pinned && adapter.leases === 0 && (adapter.lastUse ?? 0) < before) this.put(adapter)
    this.serve()
  }

  private serve(): void {
    for (let claim = this.queue[0]; claim; claim = this.queue[0]) {
      const missing = claim.adapters.filter((adapter) => !adapter.image && !adapter.loading && adapter.reserved === 0)
      const bytes = missing.reduce((sum, adapter) => sum + adapter.expectedBytes, 0)
      const refusal = this.neverFits(claim, missing)
      if (refusal) {
        this.queue.shift()
        claim.refuse(refusal)
        continue
      }
      // What is here of it stays.
      for (const adapter of claim.adapters) adapter.leases++
      // Alone it is let in although its files are larger: what they are packed to may fit.
      const fits = this.makeRoom(bytes, missing.length) || this.isAlone(claim)
      for (const adapter of claim.adapters) adapter.leases--
      if (!fits) return
      this.queue.shift()
      for (const adapter of missing) {
        adapter.reserved = Math.max(1, adapter.expectedBytes)
        this.reserved += adapter.reserved
        this.coming++
      }
      for (const adapter of claim.adapters) this.hold(adapter)
      claim.grant()
    }
  }

  /** Why a claim can never be served, before anything makes room for it: at least that much would have to be here at once. */
  private neverFits({ adapters }: Claim, missing: readonly Adapter[]): AdapterError | undefined {
    if (adapters.length > this.most)
      return new AdapterError(
        'adapter_too_large',
        `${adapters.length} adapters are wanted together, and host memory holds ${this.most} (--max-cpu-loras)`,
      )
    let pinned = 0
    for (const adapter of this.values.keys()) if (adapter.pinned && !adapters.includes(adapter)) pinned++
    if (pinned + adapters.length > this.most)
      return new AdapterError(
        'adapter_too_large',
        `${pinned} adapters are pinned, of ${this.most} (--max-cpu-loras); let one of them go`,
      )
    const here = new Map<string, number>()
    const keep = ({ image }: Adapter) => image && here.set(image.digest, hostBytes(image))
    for (const adapter of adapters) keep(adapter)
    const own = [...here.values()].reduce((sum, size) => sum + size, 0)
    for (const adapter of this.values.keys()) if (adapter.pinned) keep(adapter)
    const together = [...here.values()].reduce((sum, size) => sum + size, 0)
    const wanted = missing.reduce((sum, adapter) => sum + adapter.leastBytes, 0)
    if (together + wanted <= this.limit) return undefined
    const names = adapters.map(({ name }) => name).join(' and ')
    return new AdapterError(
      'adapter_too_large',
      own + wanted > this.limit
        ? `${names} would take ${own + wanted} bytes of host memory, and there are ${this.limit} (--host-memory)`
        : `pinned adapters leave too little host memory for ${names} (--host-memory); let one of them go`,
    )
  }

  /** Whether nothing that others hold takes room now. */
  private isAlone({ adapters }: Claim): boolean {
    return this.reserved === 0 && ![...this.values.keys()].some((other) => other.leases > 0 && !adapters.includes(other))
  }

  private hold(adapter: Adapter): void {
    adapter.leases++
    adapter.uses++
    adapter.lastUse = Date.now()
    this.appreciate(adapter)
  }

  private appreciate(adapter: Adapter): void {
    const { image, loadMs = 0, uses } = adapter
    if (image) this.values.set(adapter, this.age + ((1 + uses) * (1 + loadMs)) / Math.max(1, hostBytes(image)))
  }

  private unreserve(adapter: Adapter): void {
    if (adapter.reserved > 0) this.coming--
    this.reserved -= adapter.reserved
    adapter.reserved = 0
  }

  /** Whether there would be too much with `bytes` and `adapters` more. */
  private isOver(bytes: number, adapters: number): boolean {
    return this.used + this.reserved + bytes > this.limit || this.values.size + this.coming + adapters > this.most
  }

  /** Puts out what is worth least until there is room for `bytes` of `adapters`. False if there is not, and nothing more can go. */
  private makeRoom(bytes: number, adapters: number): boolean {
    if (!this.isOver(bytes, adapters)) return true
    let idleBytes = 0
    let idle = 0
    for (const [adapter] of this.values)
      if (adapter.leases === 0 && !adapter.pinned) {
        idle++
        idleBytes += adapter.image ? hostBytes(adapter.image) : 0
      }
    // Nothing goes for what does not fit anyway.
    if (this.isOver(bytes - idleBytes, adapters - idle)) return false
    while (this.isOver(bytes, adapters)) {
      let least: Adapter | undefined
      let value = Number.POSITIVE_INFINITY
      for (const [adapter, worth] of this.values)
        if (worth < value && adapter.leases === 0 && !adapter.pinned) {
          least = adapter
          value = worth
        }
      if (!least) return false
      this.age = value
      this.put(least)
      this.evictions++
    }
    return true
  }

  /** Puts out what it takes to come below the limits, or all that can go. */
  private trim(): void {
    if (this.makeRoom(0, 0)) return
    for (const adapter of [...this.values.keys()]) if (adapter.leases === 0 && !adapter.pinned) this.put(adapter)
  }

  private put(adapter: Adapter): void {
    const { image, name } = adapter
    if (!image) return
    adapter.image = undefined
    this.values.delete(adapter)
    const content = this.contents.get(image.digest)
    if (!content) return
    content.adapters.delete(adapter)
    if (content.adapters.size === 0) {
      this.contents.delete(image.digest)
      this.used -= hostBytes(content.image)
      this.events.went(image.digest)
    } else if (![...content.adapters].some((other) => other.name === name)) this.events.went(image.digest, name)
  }
}
