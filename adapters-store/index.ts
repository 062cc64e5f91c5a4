/** The adapters-store: from PEFT folders to images that the engine can take. */
export { ADAPTER_ERROR_CODES, AdapterError, type AdapterErrorCode } from './errors.ts'
export { loadAdapter } from './load.ts'
export { SUPPORTED_METHODS } from './methods/index.ts'
export { AdapterRegistry } from './registry.ts'
export { readSafetensorsHeader } from './safetensors.ts'
export { AdapterStore } from './store.ts'
export type * from './types.ts'
