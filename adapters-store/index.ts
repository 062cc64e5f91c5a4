/** The adapters-store: from PEFT folders to images that the engine can take. */

export {
  Adapter,
  type AdapterState,
  type Canary,
  type Origin,
  type Previous,
  type SaidFormats,
  type UseLimits,
} from './adapter.ts'
export { readSafetensorsHeader } from './checkpoint/index.ts'
export { ADAPTER_ERROR_CODES, AdapterError, type AdapterErrorCode, asAdapterError } from './errors.ts'
export { FileMemory } from './files.ts'
export { HostMemory } from './host-memory.ts'
export * from './hub/index.ts'
export { isWithin } from './links.ts'
export { loadAdapter } from './load.ts'
export { SUPPORTED_METHODS } from './methods/index.ts'
export { type AdapterPlan, planAdapter } from './plan.ts'
export { AdapterRegistry, beyondHostMemory, isAdapterFolder } from './registry.ts'
export { AdapterStore } from './store.ts'
export { TEXT_FILES } from './text/files.ts'
export { nothingKnown } from './text/read.ts'
export type * from './types.ts'
export { hostBytes } from './types.ts'
export type { Judging } from './versions.ts'
