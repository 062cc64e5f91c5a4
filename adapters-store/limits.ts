/** How large an adapter may be to be served: one that takes most of the pool keeps out all others. */
import { AdapterError } from './errors.ts'

export interface AdapterLimits {
  /** Largest rank of its low-rank products, as they are served: LoHa's r² counts. Absent: any. */
  rank?: number
  /** Bytes that it is packed to. Absent: any. */
  bytes?: number
}

/** Throws AdapterError `adapter_too_large` for a `rank` or `bytes` beyond the limits. */
export function requireWithin(limits: AdapterLimits | undefined, { rank = 0, bytes = 0 }: AdapterLimits): void {
  if (rank > (limits?.rank ?? Number.POSITIVE_INFINITY))
    throw new AdapterError(
      'adapter_too_large',
      `its rank is ${rank}, and this server takes ${limits?.rank} at most (--max-lora-rank)`,
    )
  if (bytes > (limits?.bytes ?? Number.POSITIVE_INFINITY))
    throw new AdapterError(
      'adapter_too_large',
      `packed, it takes ${bytes} bytes, and this server takes adapters of ${limits?.bytes} at most (--max-adapter-bytes)`,
    )
}
