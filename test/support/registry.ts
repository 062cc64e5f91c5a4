/** A registry whose adapters are read in this thread, over as much host memory as a test wants. */
import {
  type Adapter,
  AdapterRegistry,
  type BaseModel,
  HostMemory,
  type LoadOptions,
  loadAdapter,
} from '../../adapters-store/index.ts'
import type { AdapterImage } from '../../adapters-store/types.ts'

export interface TestRegistry {
  registry: AdapterRegistry
  memory: HostMemory
  /** Digests that are here, with their names: what an engine would know. */
  here: Map<string, string[]>
  /** Loads so far, by name. */
  loads: string[]
  /** Makes an adapter known and loads it; a refusal is noted in what is returned. */
  read(name: string, directory: string): Promise<Adapter>
  /** The same for all in a folder. */
  readAll(folder: string, warn?: (message: string) => void): Promise<Adapter[]>
}

export function testRegistry(
  load: (name: string, directory: string, root?: string) => AdapterImage | Promise<AdapterImage>,
  limit = 1 << 30,
  most = Number.POSITIVE_INFINITY,
): TestRegistry {
  const here = new Map<string, string[]>()
  const loads: string[] = []
  const memory = new HostMemory(
    limit,
    {
      came: ({ digest, name }) => here.set(digest, [...new Set([...(here.get(digest) ?? []), name])]),
      went: (digest, name) => {
        const left = name === undefined ? [] : (here.get(digest) ?? []).filter((other) => other !== name)
        if (left.length > 0) here.set(digest, left)
        else here.delete(digest)
      },
    },
    { most },
  )
  const loader = {
    load: async (name: string, directory: string, root?: string) => {
      loads.push(name)
      return load(name, directory, root)
    },
  }
  const registry = new AdapterRegistry(loader, memory)
  const tried = async (adapter: Adapter) => {
    const lease = await registry.lease([adapter]).catch(() => undefined)
    lease?.release()
    return adapter
  }
  return {
    registry,
    memory,
    here,
    loads,
    read: async (name, directory) => tried(registry.enter(name, directory)),
    readAll: async (folder, warn) => Promise.all(registry.scan(folder, warn).map(tried)),
  }
}

export const readFor =
  (base: BaseModel, options: LoadOptions = { dtype: 'float16', blockBytes: 1024 }) =>
  (name: string, directory: string, root?: string) =>
    loadAdapter(name, directory, base, options, undefined, root)

/** A loader of a registry that nothing is loaded from. */
export const notLoaded = (): never => {
  throw new Error('there is nothing to load')
}
