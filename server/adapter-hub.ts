/**
 * Adapters of the hub: those that the operator names, and those that requests bring, as far as `--hub-allow` lets them. An adapter is known once its files are here, under the commit that its revision
 * stood for then: a branch that moves changes nothing behind a name's back.
 */
import type { Logger } from 'pino'
import {
  type Adapter,
  AdapterError,
  type AdapterRegistry,
  asAdapterError,
  type HubDownloads,
  type HubFolder,
  type HubName,
  hubText,
  namesHub,
  parseHubName,
} from '../adapters-store/index.ts'
import { matcher } from './access/globs.ts'
import type { AdapterRecord, OnDemand } from './catalogue.ts'
import { ApiError } from './errors.ts'
import { hubError } from './hub-errors.ts'

/** What failed is told again for as many milliseconds before the hub is asked again. */
const FORGET_MS = 30_000
/** Failures that are remembered. */
const MOST_FAILURES = 1000
/** Names that requests of a tenant, and those of all together, may have looked for in a minute: whoever makes them up must not have this server bother the hub, nor keep others from it. */
const LOOKUPS = 60
const ALL_LOOKUPS = 600
const MINUTE = 60_000

interface Named extends Kept {
  hub: HubName
}

/** What an adapter is given once it is here. `origin`: `api` came over HTTP before the last end, `command_line` is the operator's. */
type Kept = Pick<Adapter, 'origin' | 'pinned' | 'limits' | 'formats'>

export interface HubLimits {
  /** Patterns of `org/name`. */
  allow: readonly string[]
  /** Bytes of an adapter's files. */
  maxBytes: number
}

export class AdapterHub implements OnDemand {
  /** Told of each that the operator named and that cannot be had. */
  onRefusal?: (adapter: AdapterRecord) => void
  private readonly downloads: HubDownloads
  private readonly registry: AdapterRegistry
  private readonly limits: HubLimits
  private readonly matches: (repo: string) => boolean
  private readonly log: Pick<Logger, 'warn'>
  private readonly named = new Map<string, Named>()
  private readonly failures = new Map<string, { error: AdapterError; until: number }>()
  /** When a name was looked for. */
  /** By tenant and name, when it was. */
  private readonly lookups = new Map<string, { tenant: string; at: number }>()
  private readonly closing = new AbortController()

  constructor(downloads: HubDownloads, registry: AdapterRegistry, limits: HubLimits, log: Pick<Logger, 'warn'>) {
    this.downloads = downloads
    this.registry = registry
    this.limits = limits
    this.matches = matcher(limits.allow)
    this.log = log
  }

  /** Whether requests may bring anything. */
  get open(): boolean {
    return this.limits.allow.length > 0
  }

  /** Whether requests may bring it. */
  allows({ repo }: HubName): boolean {
    return this.matches(repo)
  }

  /** An adapter that is served under a name from now on, wherever it is yet. */
  name(name: string, named: Named): void {
    this.named.set(name, named)
  }

  has(name: string): boolean {
    return this.named.has(name)
  }

  forget(name: string): void {
    this.named.delete(name)
    this.failures.delete(name)
  }

  /** Brings those that are named. What cannot be had is told, and looked for again when somebody wants it. What was registered over HTTP and is not here comes beside serving. */
  async enterNamed(): Promise<void> {
    const bring = async (name: string, { hub, ...kept }: Named) => {
      const registered = kept.origin === 'api'
      const source = hubText(hub)
      const other = this.registry.get(name)
      if (other)
        throw new AdapterError(
          'adapter_name_taken',
          `the name ${name} is taken by the adapter in ${other.directory}; ${source} needs another name`,
        )
      const there = registered ? await this.downloads.cached(hub, 'adapter') : undefined
      if (there) return this.enter(name, there, kept)
      const fetching = this.bring(name, hub, kept, this.closing.signal).catch((error) => {
        const { message: refusal, detail: why } = asAdapterError(error)
        const detail = registered ? why : `${why}; and there is no folder ${source} here`
        if (!this.closing.signal.aborted) this.onRefusal?.({ name, directory: source, created: 0, refusal, detail })
      })
      return registered ? undefined : fetching
    }
    await Promise.all([...this.named].map(([name, named]) => bring(name, named)))
  }

  async find(name: string, param: string, signal: AbortSignal, tenant = ''): Promise<boolean> {
    const named = this.named.get(name)
    const hub = named?.hub ?? (namesHub(name) ? undefined : parseHubName(name))
    if (hub === undefined || (!named && !this.allows(hub))) return false
    try {
      const failure = this.failed(name)
      if (failure) throw failure
      if (!named) this.countLookup(name, tenant)
      await this.bring(name, hub, named ?? { origin: 'request', pinned: false }, signal, (detail) =>
        this.log.warn(`adapter ${name}: ${detail}`),
      )
      return true
    } catch (error) {
      if (!(error instanceof AdapterError)) throw error
      if (!named && (error.code === 'hub_not_found' || error.code === 'hub_offline')) return false
      throw (
        hubError(error, param) ??
        new ApiError('adapter_refused', `the adapter \`${name}\` cannot be served: ${error.message}`, param)
      )
    }
  }

  /** Fetches what a request brings, or throws ApiError. */
  async fetch(hub: HubName, param: string, signal: AbortSignal): Promise<HubFolder> {
    if (!this.allows(hub))
      throw new ApiError('not_allowed', `${param}: ${hub.repo} is none of those that may come from the hub (--hub-allow)`, param)
    return this.downloads.fetch(hub, 'adapter', signal, this.limits.maxBytes)
  }

  close(): void {
    this.closing.abort(new AdapterError('adapter_store_closed', 'the server is closing'))
  }

  /** `tell`: the reason of a failure, once for all who wanted it. */
  private async bring(
    name: string,
    hub: HubName,
    kept: Kept,
    signal: AbortSignal,
    tell: (detail: string) => void = () => {},
  ): Promise<void> {
    try {
      const folder = await this.downloads.fetch(hub, 'adapter', signal, this.limits.maxBytes)
      this.failures.delete(name)
      this.enter(name, folder, kept)
    } catch (error) {
      if (signal.aborted || !(error instanceof AdapterError)) throw error
      if (!this.failed(name)) tell(error.detail)
      if (this.failures.size >= MOST_FAILURES) this.failures.delete(this.failures.keys().next().value as string)
      this.failures.set(name, { error, until: performance.now() + FORGET_MS })
      throw error
    }
  }

  private failed(name: string): AdapterError | undefined {
    const failure = this.failures.get(name)
    return failure && failure.until > performance.now() ? failure.error : undefined
  }

  /** Somebody may have entered it meanwhile. */
  private enter(name: string, folder: HubFolder, { origin, pinned, limits, formats }: Kept): void {
    if (this.registry.get(name)) return
    const adapter = this.registry.enter(name, folder.directory, folder.root)
    adapter.origin = origin
    adapter.pinned = pinned
    adapter.limits = limits
    adapter.formats = formats
  }

  private countLookup(name: string, tenant: string): void {
    const now = performance.now()
    for (const [other, { at }] of this.lookups) if (at < now - MINUTE) this.lookups.delete(other)
    const key = JSON.stringify([tenant, name])
    if (this.lookups.has(key)) return
    let own = 0
    for (const one of this.lookups.values()) if (one.tenant === tenant) own++
    if (own >= LOOKUPS || this.lookups.size >= ALL_LOOKUPS)
      throw new ApiError(
        'too_many_requests',
        `${own >= LOOKUPS ? LOOKUPS : ALL_LOOKUPS} names were looked for on the hub in the last minute; try again later`,
        null,
        5,
      )
    this.lookups.set(key, { tenant, at: now })
  }
}
