/** The adapters that can be asked for, as the routes see them. */
import type { Adapter, Lease } from '../adapters-store/index.ts'

export type AdapterRecord = Pick<
  Adapter,
  'name' | 'directory' | 'created' | 'digest' | 'method' | 'refusal' | 'detail' | 'canary' | 'limits' | 'formats' | 'image'
>
export type { Lease }

export interface AdapterCatalogue {
  get(name: string): AdapterRecord | undefined
  /** In order of their names; the same list until they change. */
  list(): readonly AdapterRecord[]
  /**
   * Has the engine know all of them, which come from `list` or `get`, until the lease is released: they are loaded if need be. Rejects with AdapterError, and with the signal's reason.
   */
  lease(adapters: readonly AdapterRecord[], signal: AbortSignal): Promise<Lease>
}

export interface OnDemand {
  /** Whether there is such an adapter after all: the catalogue has it then. Rejects with ApiError, naming `param`, and with the signal's reason. `tenant`: who asks. */
  find(name: string, param: string, signal: AbortSignal, tenant?: string): Promise<boolean>
}
