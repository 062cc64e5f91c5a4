/**
 * The store's errors. `code` is stable and for programs; `message` names the file, key or field and what would be right.
 * docs/adapters.md explains each code; a test holds the two together.
 */
import { bounded } from './checkpoint/index.ts'

export const ADAPTER_ERROR_CODES = [
  'adapter_not_found',
  'adapter_unreadable',
  'adapter_pickle',
  'adapter_config_invalid',
  'adapter_method_unsupported',
  'adapter_option_unsupported',
  'adapter_tensor_invalid',
  'adapter_base_mismatch',
  'adapter_too_large',
  'adapter_name_taken',
  'adapter_name_invalid',
  'adapter_loader_lost',
  'adapter_store_closed',
  'safetensors_invalid',
] as const

export type AdapterErrorCode = (typeof ADAPTER_ERROR_CODES)[number]

export class AdapterError extends Error {
  readonly code: AdapterErrorCode

  constructor(code: AdapterErrorCode, message: string, options?: ErrorOptions) {
    super(bounded(message), options)
    this.name = 'AdapterError'
    this.code = code
  }
}
