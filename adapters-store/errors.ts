/**
 * The store's errors. `code` is stable and for programs; `message` names the file, key or field and what would be right.
 * docs/adapters.md explains each code; a test holds the two together.
 */
import { bounded } from './checkpoint/index.ts'

export const ADAPTER_ERROR_CODES = [
  'adapter_not_found',
  'adapter_unreadable',
  'adapter_link_refused',
  'adapter_pickle',
  'adapter_config_invalid',
  'adapter_method_unsupported',
  'adapter_option_unsupported',
  'adapter_tensor_invalid',
  'adapter_base_mismatch',
  'adapter_tokenizer_invalid',
  'adapter_too_large',
  'adapter_no_room',
  'adapter_name_taken',
  'adapter_version_mismatch',
  'adapter_version_not_found',
  'adapter_name_invalid',
  'adapter_load_failed',
  'adapter_loader_lost',
  'adapter_store_closed',
  'safetensors_invalid',
  'hub_not_found',
  'hub_denied',
  'hub_unreachable',
  'hub_offline',
  'hub_file_invalid',
  'hub_cache_failed',
] as const

export type AdapterErrorCode = (typeof ADAPTER_ERROR_CODES)[number]

export class AdapterError extends Error {
  readonly code: AdapterErrorCode
  /** The same for whoever runs the server: with paths, and with what the system said. */
  readonly detail: string
  /** With `adapter_version_mismatch`: the digest that was found, if any. */
  readonly currentDigest?: string

  /** `message` goes to clients as it stands: files are named relative to the adapter's folder. `detail` is the message if absent. */
  constructor(
    code: AdapterErrorCode,
    message: string,
    { detail = message, currentDigest, ...options }: ErrorOptions & { detail?: string; currentDigest?: string } = {},
  ) {
    super(bounded(message), options)
    this.name = 'AdapterError'
    this.code = code
    this.detail = bounded(detail)
    this.currentDigest = currentDigest
  }
}

/** Whatever was thrown while an adapter was loaded. What is no AdapterError may name anything, so that only `detail` has it. */
export function asAdapterError(error: unknown): AdapterError {
  if (error instanceof AdapterError) return error
  const { message } = error as Error
  return new AdapterError('adapter_load_failed', 'it could not be loaded: an internal error, of which the server says more', {
    detail: `it could not be loaded: ${message}`,
    cause: error,
  })
}
