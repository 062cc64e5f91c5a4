/** Adapters that come, go and change while the server runs: who may do that, from where, and what is told of each. */
import { realpathSync } from 'node:fs'
import path from 'node:path'
import { type Adapter, AdapterError, type AdapterRegistry, isAdapterFolder, isWithin } from '../adapters-store/index.ts'
import type { Engine } from '../runtime/index.ts'
import type { Caller } from './access/caller.ts'
import type { AdapterState } from './adapter-state.ts'
import { ApiError } from './errors.ts'

/** What `--allow-adapter-management` and the folders come to. */
export interface ManagementSettings {
  allowed: boolean
  /** Folders that adapters may be loaded from. */
  roots: readonly string[]
  /** Where what is done is kept; absent: nowhere. */
  state?: Pick<AdapterState, 'put' | 'remove'>
}

/** An adapter that is to be served. `field`s of errors are the request's. */
export interface Wanted {
  name: string
  /** Folder, absolute or relative to the first root. */
  source: string
  /** Read it now; else when somebody wants it. */
  preload: boolean
  /** Absent: as it is. */
  pin?: boolean
  /** Take a name that is known. */
  replace: boolean
  expectedDigest?: string
  fields: { name: string; source: string }
}

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

  list(): object[] {
    return this.registry.list().map((adapter) => this.describe(adapter))
  }

  find(name: string, field: string): Adapter {
    const adapter = this.registry.get(name)
    if (adapter) return adapter
    throw new ApiError('model_not_found', `The adapter \`${name.slice(0, 256)}\` does not exist.`, field)
  }

  /** With its versions that are no longer its own and still in use. */
  describe(adapter: Adapter): object {
    const { name, created } = adapter
    const draining = this.registry.draining(name).map((version) => this.version(version))
    return { name, created, ...this.version(adapter), draining }
  }

  /** Serves an adapter from now on. Resolves when it can be asked for, having been read if that was wanted. `signal`: nobody waits for it any more. */
  async load(wanted: Wanted, signal: AbortSignal): Promise<Adapter> {
    const { name, source, preload, pin, replace, expectedDigest, fields } = wanted
    const { directory, root } = this.place(source, fields.source)
    const onlyNew = !replace && expectedDigest === undefined
    const there = this.registry.get(name)
    if (onlyNew && there && (there.image || there.directory !== directory))
      throw new ApiError('invalid_request', `${fields.name}: the adapter '${name}' has already been loaded`, fields.name)
    try {
      const adapter =
        onlyNew && !preload
          ? this.registry.enter(name, directory, root)
          : await this.registry.replace(name, directory, { root, expectedDigest, onlyNew, signal })
      adapter.pinned = pin ?? adapter.pinned
      await this.settings.state?.put(name, { directory, root, pinned: adapter.pinned })
      return adapter
    } catch (error) {
      throw error instanceof AdapterError ? refused(error, fields) : error
    }
  }

  /** Ends an adapter's name; what uses it goes on. */
  async unload(name: string, field: string): Promise<void> {
    this.find(name, field)
    this.registry.remove(name)
    const { state, roots } = this.settings
    // What a folder has would be found there at the next start.
    if (roots.some((root) => isAdapterFolder(path.join(root, name)))) await state?.put(name, { removed: true })
    else await state?.remove(name)
  }

  private version(adapter: Adapter): object {
    const { state, digest = null, method = null, maxRank = null, directory, pinned, leases, uses, image } = adapter
    const resident = digest === null ? undefined : this.engine.residents.get(digest)
    return {
      state,
      digest,
      method,
      rank: maxRank,
      ...(adapter.vocabSize !== undefined && { vocab_size: adapter.vocabSize }),
      root: directory,
      pinned,
      leases,
      uses,
      last_use: adapter.lastUse === undefined ? null : Math.floor(adapter.lastUse / 1000),
      load_ms: adapter.loadMs === undefined ? null : Math.round(adapter.loadMs),
      bytes: { host: image?.image.byteLength ?? 0, pool: (resident?.blocks ?? 0) * this.engine.info.blockBytes },
      refusal: adapter.detail ?? null,
    }
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
          `${field}: there is no such folder; relative ones are looked for in ${roots.length > 0 ? 'the folder of --adapters' : "the server's folder"}, and nothing is fetched from a hub`,
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

function realPath(file: string): string | undefined {
  try {
    return realpathSync(file)
  } catch {
    return undefined
  }
}

function refused(error: AdapterError, fields: Wanted['fields']): ApiError {
  switch (error.code) {
    case 'adapter_name_invalid':
    case 'adapter_name_taken':
      return new ApiError('invalid_request', `${fields.name}: ${error.message}`, fields.name)
    case 'adapter_not_found':
      return new ApiError('adapter_not_found', `${fields.source}: ${error.message}`, fields.source)
    case 'adapter_version_mismatch':
      return new ApiError('adapter_version_mismatch', error.message, 'expected_digest')
    case 'adapter_store_closed':
      return new ApiError('engine_unavailable', 'the server is closing')
    default:
      return new ApiError('adapter_refused', `${fields.source}: the adapter cannot be served: ${error.message}`, fields.source)
  }
}
