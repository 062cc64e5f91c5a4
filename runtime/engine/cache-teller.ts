/**
 * Sends what changes in the prefix cache to the thread that publishes it, a batch a step. It never waits: while the other thread has as many batches before it as it may, what changes is kept
 * and folded (pool/cache-events.ts), and goes as one batch when there is room again.
 */
import type { CacheEvents } from '../pool/cache-events.ts'
import type { CacheBatch, CacheListener } from '../types.ts'

/** Words of CacheListener.shared: batches that the listener has taken, and whether something is kept back for it. */
export const TAKEN = 0
export const HELD = 1

export class CacheTeller {
  private readonly events: CacheEvents
  private readonly listener: CacheListener
  /** Batches sent; the listener counts on from its own first one, 0. */
  private sent = 0

  constructor(events: CacheEvents, listener: CacheListener) {
    this.events = events
    this.listener = listener
    // It asks for what was kept back. That alone is no reason for the thread to live.
    listener.port.on('message', () => this.flush())
    listener.port.unref()
  }

  /** Number of the last batch sent. */
  get sequence(): number {
    return this.sent
  }

  /** `all`: whatever the listener has before it. */
  flush(all = false): void {
    const { events, listener } = this
    if (events.empty) return
    if (!all && this.behind) {
      events.fold()
      Atomics.store(listener.shared, HELD, 1)
      // It may have caught up before it could see that.
      if (this.behind) return
    }
    Atomics.store(listener.shared, HELD, 0)
    this.sent++
    listener.port.postMessage({ at: Date.now(), events: events.take() } satisfies CacheBatch)
  }

  close(): void {
    this.listener.port.close()
  }

  private get behind(): boolean {
    return this.sent - Atomics.load(this.listener.shared, TAKEN) >= this.listener.most
  }
}
