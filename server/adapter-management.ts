/** Adapters that come, go and change while the server runs: who may do that, from where, and what is told of each. */
import { realpathSync } from 'node:fs'
import path from 'node:path'
import {
  type Adapter,
  AdapterError,
  type AdapterRegistry,
  type HubName,
  hostBytes,
  isAdapterFolder,
  isWithin,
  type Judging,
  namesHub,
  parseHubName,
  type SaidFormats,
  type UseLimits,
} from '../adapters-store/index.ts'
import type { Engine } from '../runtime/index.ts'
import type { Caller } from './access/caller.ts'
import type { AdapterHub } from './adapter-hub.ts'
import { type AdapterState, registrationOf } from './adapter-state.ts'
import { ApiError } from './errors.ts'
import { hubError } from './hub-errors.ts'

/** What `--allow-adapter-management` and the folders come to. */
export interface ManagementSettings {
  allowed: boolean
  /** Folders that adapters may be loaded from. */
  roots: readonly string[]
  /** Whether the command line gives a name, whatever the folders have. */
  given?: (name: string) => boolean
  /** Where what is done is kept; absent: nowhere. */
  state?: Pick<AdapterState, 'put' | 'remove'>
  /** Absent: nothing comes from a hub. */
  hub?: AdapterHub
  /** Of adapters that have none of their own; absent: none. */
  limits?: UseLimits
}

/** An adapter that is to be served. `field`s of errors are the request's. */
export interface Wanted {
  name: string
  /** Folder, absolute or relative to the first root; or `org/name[@revision]` of the hub. */
  source: string
  /** Read it now; else when somebody wants it. */
  preload: boolean
  /** Absent: as it is. */
  pin?: boolean
  /** Absent: as they are. */
  limits?: ChangedLimits
  /** Absent: as they are. */
  formats?: ChangedFormats
  /** Take a name that is known. */
  replace: boolean
  expectedDigest?: string
  fields: { name: string; source: string }
}

/** What is to become of a name's canary. `field`s of errors are those of `POST /adapters`. */
export interface WantedCanary {
  name: string
  /** Folder, as of Wanted; absent: the canary that is there gets the share. */
  source?: string
  share: number
  pin?: boolean
  /** Of the name's own version. */
  expectedDigest?: string
}

/** undefined: as it is; null: that of all adapters. */
export type ChangedLimits = { [Limit in keyof UseLimits]: number | null }

/** Likewise; null: what the folder or the base says. */
export type ChangedFormats = { [Format in keyof SaidFormats]: string | null }

const FIELDS = { name: 'name', source: 'src' }

export class AdapterManagement {
  private readonly registry: AdapterRegistry
  private readonly engine: Pick<Engine, 'residents' | 'info'>
  private readonly settings: ManagementSettings

  constructor(registry: AdapterRegistry, engine: Pick<Engine, 'residents' | 'info'>, settings: ManagementSettings) {
    this.registry = registry
    this.engine = engine
    this.settings = settings
  }

  /** Who may look. */
  requireAdmin(caller: Caller): void {
    if (!caller.admin) throw new ApiError('not_allowed', 'this needs an admin key')
  }

  /** Who may change anything. */
  requireChange(caller: Caller): void {
    this.requireAdmin(caller)
    if (!this.settings.allowed)
      throw new ApiError('not_allowed', 'adapters cannot be changed over HTTP: start the server with --allow-adapter-management')
  }

  get allowed(): boolean {
    return this.settings.allowed
  }

  /** In order of their names. */
  all(): readonly Adapter[] {
    return this.registry.list()
  }

  find(name: string, field: string): Adapter {
    const adapter = this.registry.get(name)
    if (adapter) return adapter
    throw new ApiError('model_not_found', `The adapter \`${name.slice(0, 256)}\` does not exist.`, field)
  }

  /** With the versions beside it, before it, and those that are no longer its own and still in use. */
  describe(adapter: Adapter): object {
    const { name, created, canary, previous } = adapter
    const draining = this.registry.draining(name).map((version) => this.version(version))
    return {
      name,
      created,
      ...this.version(adapter),
      limits: limitsShown(adapter.limits, this.settings.limits),
      tool_call_parser: adapter.formats?.tools ?? null,
      reasoning_parser: adapter.formats?.reasoning ?? null,
      canary: canary ? { share: canary.share, requests: canary.requests, ...this.version(canary.adapter) } : null,
      previous: previous ? { digest: previous.digest ?? null, root: previous.directory } : null,
      draining,
    }
  }

  /** Serves an adapter from now on. Resolves when it can be asked for, having been read if that was wanted. `signal`: nobody waits for it any more. */
  async load(wanted: Wanted, signal: AbortSignal): Promise<Adapter> {
    const { name, source, preload, pin, limits, formats, replace, expectedDigest, fields } = wanted
    const { directory, root } = await this.locate(source, fields, signal)
    const onlyNew = !replace && expectedDigest === undefined
    const there = this.registry.get(name)
    // One that was refused is listed nowhere: nobody could know that the name is taken.
    if (onlyNew && there && there.state !== 'refused' && (there.image || there.directory !== directory))
      throw new ApiError('invalid_request', `${fields.name}: the adapter '${name}' has already been loaded`, fields.name)
    try {
      const adapter =
        onlyNew && !preload
          ? this.registry.enter(name, directory, root)
          : await this.registry.replace(name, directory, { root, expectedDigest, onlyNew, signal })
      adapter.origin = 'api'
      adapter.pinned = pin ?? adapter.pinned
      adapter.limits = changed(adapter.limits, limits)
      adapter.formats = changed(adapter.formats, formats)
      await this.keep(adapter)
      return adapter
    } catch (error) {
      throw error instanceof AdapterError ? refused(error, fields) : error
    }
  }

  /** Puts a canary beside a name's own version, or gives the one that is there another share. Resolves when requests go by that. */
  async setCanary({ name, source, share, pin, expectedDigest }: WantedCanary, signal: AbortSignal): Promise<Adapter> {
    const own = this.find(name, FIELDS.name)
    const judging = { expectedDigest, signal }
    if (source === undefined) return this.change(() => this.registry.weigh(name, share, judging))
    const { directory, root } = await this.locate(source, FIELDS, signal)
    if (directory === own.directory)
      throw new ApiError(
        'invalid_request',
        `${FIELDS.source}: the version that ${name} stands for lies there; a canary needs a folder of its own`,
        FIELDS.source,
      )
    return this.change(async () => {
      const changed = await this.registry.setCanary(name, directory, share, { root, pinned: pin, ...judging })
      if (changed.canary) changed.canary.adapter.origin = 'api'
      return changed
    })
  }

  /** Makes a name's canary its own version. */
  promote(own: Adapter, judging: Judging): Promise<Adapter> {
    return this.change(() => this.registry.promote(own.name, judging))
  }

  /** Lets a name's canary go, or puts back the version before. */
  rollback(own: Adapter, judging: Judging): Promise<Adapter> {
    return this.change(() => this.registry.rollback(own.name, judging))
  }

  /** Changes what a name has, whatever lies behind it: whether the version that it stands for is kept in host memory once it is there, and the name's limits and formats. */
  async set(
    name: string,
    { pin, limits, formats }: Pick<Wanted, 'pin' | 'limits' | 'formats'>,
    expectedDigest?: string,
  ): Promise<Adapter> {
    const own = this.find(name, FIELDS.name)
    if (expectedDigest !== undefined && own.digest !== expectedDigest)
      throw new ApiError(
        'adapter_version_mismatch',
        `the adapter ${name} is at ${own.digest ?? 'a digest that is not known: it has not been read'}, not at ${expectedDigest}`,
        'expected_digest',
      ).at(own.digest)
    own.pinned = pin ?? own.pinned
    own.limits = changed(own.limits, limits)
    own.formats = changed(own.formats, formats)
    await this.keep(own)
    return own
  }

  /** Ends an adapter's name; what uses it goes on. */
  async unload(name: string, field: string): Promise<void> {
    this.find(name, field)
    this.registry.remove(name)
    this.settings.hub?.forget(name)
    const { state, roots, given } = this.settings
    // What a folder or the command line has would be found there at the next start.
    const comesBack = given?.(name) || roots.some((root) => isAdapterFolder(path.join(root, name)))
    if (comesBack) await state?.put(name, { removed: true })
    else await state?.remove(name)
  }

  private async change(change: () => Promise<Adapter>): Promise<Adapter> {
    try {
      const adapter = await change()
      await this.keep(adapter)
      return adapter
    } catch (error) {
      throw error instanceof AdapterError ? refused(error, FIELDS) : error
    }
  }

  /** Has the next start know all versions of a name as they are now, unless the name has gone meanwhile. */
  private async keep({ name }: Adapter): Promise<void> {
    const own = this.registry.get(name)
    if (own) await this.settings.state?.put(name, registrationOf(own))
  }

  private version(adapter: Adapter): object {
    const { state, digest = null, method = null, maxRank = null, directory, origin = null, pinned, leases, uses, image } = adapter
    const resident = digest === null ? undefined : this.engine.residents.get(digest)
    return {
      state,
      digest,
      method,
      rank: maxRank,
      ...(adapter.vocabSize !== undefined && { vocab_size: adapter.vocabSize }),
      origin,
      root: directory,
      source: adapter.hub === undefined ? null : `hub: ${adapter.hub}`,
      pinned,
      leases,
      uses,
      last_use: adapter.lastUse === undefined ? null : Math.floor(adapter.lastUse / 1000),
      load_ms: adapter.loadMs === undefined ? null : Math.round(adapter.loadMs),
      bytes: { host: image ? hostBytes(image) : 0, pool: resident?.bytes ?? 0 },
      refusal: adapter.detail ?? null,
    }
  }

  /** Where an adapter is; what lies on the hub is brought. */
  private async locate(
    source: string,
    fields: Wanted['fields'],
    signal: AbortSignal,
  ): Promise<{ directory: string; root: string }> {
    const { hub } = this.settings
    const name = hub && this.hubName(source, fields.source)
    if (!hub || !name) return this.place(source, fields.source)
    try {
      return await hub.fetch(name, fields.source, signal)
    } catch (error) {
      throw error instanceof AdapterError ? refused(error, fields) : error
    }
  }

  /** undefined: it is a folder. A folder that is there goes before the hub's name, unless `hf://` says which is meant. */
  private hubName(source: string, field: string): HubName | undefined {
    const { roots, hub } = this.settings
    const name = parseHubName(source)
    if (namesHub(source)) {
      if (name) return name
      throw new ApiError('invalid_request', `${field} must be hf://ORG/NAME[@REVISION]`, field)
    }
    const folder = path.resolve(roots[0] ?? '.', source)
    return hub?.open && rootOf(folder, roots) !== undefined && realPath(folder) === undefined ? name : undefined
  }

  /** Where an adapter may be read from. Whether there is something elsewhere is not told. */
  private place(source: string, field: string): { directory: string; root: string } {
    const { roots } = this.settings
    const directory = path.resolve(roots[0] ?? '.', source)
    const root = rootOf(directory, roots)
    if (root !== undefined) {
      if (realPath(directory) === undefined)
        throw new ApiError(
          'adapter_not_found',
          `${field}: there is no such folder; relative ones are looked for in ${roots.length > 0 ? 'the folder of --adapters' : "the server's folder"}, and nothing that requests name is fetched from the hub unless --hub-allow says so`,
          field,
        )
      return { directory, root }
    }
    throw new ApiError(
      'not_allowed',
      `${field}: adapters are loaded from the folders of --adapters and --adapter-roots alone${roots.length === 0 ? ', and none was given' : ''}`,
      field,
    )
  }
}

/** The one of `roots` that a folder lies in, after symbolic links too; undefined: none. */
export function rootOf(directory: string, roots: readonly string[]): string | undefined {
  const real = realPath(directory)
  return roots.find((root) => {
    const within = realPath(root)
    return within !== undefined && isWithin(path.resolve(root), directory) && (real === undefined || isWithin(within, real))
  })
}

/** undefined: none of its own. */
function changed<Own extends object>(
  own: Own | undefined,
  by: { [Key in keyof Own]: Own[Key] | null } | undefined,
): Own | undefined {
  const next = { ...own } as Own
  for (const [key, value] of Object.entries(by ?? {}) as [keyof Own, Own[keyof Own] | null | undefined][])
    if (value === null) delete next[key]
    else if (value !== undefined) next[key] = value
  return Object.keys(next).length > 0 ? next : undefined
}

/** What holds for its requests; null: no limit. `own`: which of these it was registered with. */
function limitsShown(own: UseLimits = {}, ofAll: UseLimits = {}): object {
  const { maxRequests = null, maxQueued = null, tokensPerMinute = null } = { ...ofAll, ...own }
  const names = { maxRequests: 'max_requests', maxQueued: 'max_queued', tokensPerMinute: 'tokens_per_minute' }
  return {
    max_requests: maxRequests,
    max_queued: maxQueued,
    tokens_per_minute: tokensPerMinute,
    own: Object.keys(own).map((limit) => names[limit as keyof UseLimits]),
  }
}

function realPath(file: string): string | undefined {
  try {
    return realpathSync(file)
  } catch {
    return undefined
  }
}

function refused(error: AdapterError, fields: Wanted['fields']): ApiError {
  const ofHub = hubError(error, fields.source)
  if (ofHub) return ofHub
  switch (error.code) {
    case 'adapter_name_invalid':
    case 'adapter_name_taken':
      return new ApiError('invalid_request', `${fields.name}: ${error.message}`, fields.name)
    case 'adapter_not_found':
      return new ApiError('adapter_not_found', `${fields.source}: ${error.message}`, fields.source)
    case 'adapter_version_not_found':
      return new ApiError('adapter_version_not_found', error.message, fields.name)
    case 'adapter_version_mismatch':
      return new ApiError('adapter_version_mismatch', error.message, 'expected_digest').at(error.currentDigest)
    case 'adapter_store_closed':
      return new ApiError('engine_unavailable', 'the server is closing')
    default:
      return new ApiError('adapter_refused', `${fields.source}: the adapter cannot be served: ${error.message}`, fields.source)
  }
}
