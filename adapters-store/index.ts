/** The adapters-store: from PEFT folders to images that the engine can take. */

export { Adapter, type AdapterState, type Canary, type Previous } from './adapter.ts'
export { readSafetensorsHeader } from './checkpoint/index.ts'
export { ADAPTER_ERROR_CODES, AdapterError, type AdapterErrorCode, asAdapterError } from './errors.ts'
export { HostMemory } from './host-memory.ts'
export { isWithin } from './links.ts'
export { loadAdapter } from './load.ts'
export { SUPPORTED_METHODS } from './methods/index.ts'
export { AdapterRegistry, isAdapterFolder } from './registry.ts'
export { AdapterStore } from './store.ts'
export type * from './types.ts'
export type { Judging } from './versions.ts'
