/**
 * The adapters that are pinned when the server starts: a replica is ready once it has them. They are loaded before the others, however many there are, and tried again while they
 * cannot be: nobody else would ask for them, since no request is sent to a server that is not ready.
 */
import type { AdapterRegistry } from '../adapters-store/index.ts'
import type { OnDemand } from './catalogue.ts'
import type { MissingPinned } from './readiness.ts'

/** Milliseconds between two tries. One whose files are as they were is refused without being read again. */
const TRY_EVERY = 5000

export class PinnedAdapters {
  private readonly registry: Pick<AdapterRegistry, 'get' | 'lease'>
  private readonly hub: Pick<OnDemand, 'find'> & { has(name: string): boolean }
  /** Names that have not been in host memory since the start. */
  private readonly awaited = new Set<string>()
  private readonly closing = new AbortController()
  private trying: NodeJS.Timeout | undefined

  constructor(registry: PinnedAdapters['registry'], hub: PinnedAdapters['hub']) {
    this.registry = registry
    this.hub = hub
  }

  /** The server is not ready before `name` is loaded, unless it is unpinned or removed meanwhile. */
  await(name: string): void {
    this.awaited.add(name)
  }

  missing(): MissingPinned {
    let refused = 0
    for (const name of this.awaited) {
      const adapter = this.registry.get(name)
      if (adapter ? adapter.image || !adapter.pinned : !this.hub.has(name)) this.awaited.delete(name)
      else if (adapter?.refusal !== undefined) refused++
    }
    return { count: this.awaited.size, refused }
  }

  /** Loads what is missing, one after the other; resolves when each has been tried, and goes on trying. */
  async load(): Promise<void> {
    for (const name of [...this.awaited]) await this.try(name)
    if (this.missing().count === 0 || this.closing.signal.aborted) return
    this.trying = setTimeout(() => void this.load(), TRY_EVERY).unref()
  }

  close(): void {
    clearTimeout(this.trying)
    this.closing.abort()
  }

  /** What fails is told by whoever loads it. */
  private async try(name: string): Promise<void> {
    const { signal } = this.closing
    try {
      signal.throwIfAborted()
      if (!this.registry.get(name)) await this.hub.find(name, 'model', signal)
      const adapter = this.registry.get(name)
      if (adapter) (await this.registry.lease([adapter], signal)).release()
    } catch {
      // It is tried again.
    }
  }
}
