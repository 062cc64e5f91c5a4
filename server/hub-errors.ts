/** What goes wrong between this server and the hub, as the client is told. */
import type { AdapterError, AdapterErrorCode } from '../adapters-store/index.ts'
import { ApiError, type ErrorCode } from './errors.ts'

const CODES: Partial<Record<AdapterErrorCode, ErrorCode>> = {
  hub_not_found: 'adapter_not_found',
  hub_offline: 'adapter_not_found',
  hub_denied: 'adapter_refused',
  hub_unreachable: 'hub_failed',
  hub_file_invalid: 'hub_failed',
  hub_cache_failed: 'hub_failed',
}

/** undefined: that is about the adapter and not about the hub. */
export function hubError({ code, message }: AdapterError, param: string): ApiError | undefined {
  const known = CODES[code]
  return known && new ApiError(known, `${param}: ${message}`, param)
}
