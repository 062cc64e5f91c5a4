/** Each adapter that a server with this configuration would know, as it would be served. */
import {
  type AdapterPlan,
  AdapterRegistry,
  asAdapterError,
  type BaseModel,
  beyondHostMemory,
  FileMemory,
  HostMemory,
  type HubDownloads,
  hubText,
  type LoadOptions,
  nothingKnown,
  planAdapter,
} from '../../adapters-store/index.ts'
import type { Config } from '../config/settings.ts'
import { hubNameOf } from '../hub-model.ts'
import type { CheckedAdapter } from './report.ts'

export interface Known {
  name: string
  directory: string
  root: string
}

/** Names and folders, as the server enters them; of the hub what its cache holds. `warn` is told what looks like an adapter and is none. Throws what ends a server's start. */
export async function knownAdapters(
  config: Config,
  folder: string | undefined,
  downloads: HubDownloads,
  warn: (message: string) => void,
): Promise<{ registry: AdapterRegistry; refused: CheckedAdapter[] }> {
  const never = async () => {
    throw new Error('nothing is loaded for a check')
  }
  const registry = new AdapterRegistry({ load: never }, new HostMemory(1, { came: () => {}, went: () => {} }))
  const refused: CheckedAdapter[] = []
  if (folder !== undefined) registry.scan(folder, warn)
  for (const [name, given] of Object.entries(config.adapter)) {
    const hub = hubNameOf(given)
    const cached = hub && (await downloads.cached(hub, 'adapter'))
    if (hub && !cached) {
      const reason = `${hubText(hub)} of the hub is not in this machine's cache, and nothing is fetched for a check`
      refused.push({ name, directory: given, served: false, code: 'hub_not_found', reason })
    } else registry.enter(name, cached?.directory ?? given, cached?.root)
  }
  return { registry, refused }
}

/** What admits an adapter with a tokenizer or template of its own. */
export type Admit = (plan: AdapterPlan) => Promise<AdapterPlan>

export interface Checking {
  base: BaseModel
  options: LoadOptions
  /** Bytes of host memory for adapters. */
  hostMemory: number
  /** Read every value, as loading does. */
  values: boolean
  admit: Admit
}

export async function checkAdapters(adapters: readonly Known[], checking: Checking): Promise<CheckedAdapter[]> {
  const { base, options, hostMemory, values, admit } = checking
  const texts = nothingKnown()
  const zeros = new FileMemory()
  const checked: CheckedAdapter[] = []
  for (const { name, directory, root } of adapters)
    try {
      const plan = await admit(planAdapter(name, directory, base, options, { root, texts, values, zeros }))
      if (plan.bytes > hostMemory) throw beyondHostMemory(plan.bytes, hostMemory)
      checked.push({ name, directory, ...served(plan) })
    } catch (error) {
      const { code, detail } = asAdapterError(error)
      checked.push({ name, directory, served: false, code, reason: detail })
    }
  return checked
}

function served(plan: AdapterPlan): Omit<CheckedAdapter, 'name' | 'directory'> {
  const { method, maxRank: rank, modules, blocks, frames, frameBytes, blockBytes, bytes, valuesRead, warnings = [] } = plan
  return {
    served: true,
    method,
    rank,
    targets: [...new Set(modules.map((module) => module.slice(module.lastIndexOf('.') + 1)))],
    modules: modules.length,
    poolBytes: blocks * blockBytes + frames * frameBytes,
    hostBytes: bytes,
    valuesRead,
    ...(warnings.length > 0 && { warnings }),
  }
}
