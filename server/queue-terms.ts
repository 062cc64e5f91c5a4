/** On which terms a request waits for the engine: whom its service is counted for, and by when it wants its first token. */
import type { FastifyRequest } from 'fastify'
import type { AdapterUse } from '../runtime/index.ts'
import type { Config } from './config/settings.ts'
import { ApiError } from './errors.ts'

export const TTFT_HEADER = 'x-ttft-target'
/** Seconds; a longer one bounds nothing. */
const LONGEST_TARGET = 3600
/** Characters of a tenant that a gateway names. */
const LONGEST_TENANT = 256

export type QueueSettings = Partial<Pick<Config, 'scheduling' | 'fairness' | 'tenantHeader' | 'ttftTarget'>>

export interface QueueTerms {
  flow?: string
  firstTokenMs?: number
}

/** Throws ApiError for a header that cannot be understood. */
export function queueTerms(
  { scheduling, fairness, tenantHeader, ttftTarget }: QueueSettings,
  { headers, caller }: Pick<FastifyRequest, 'headers' | 'caller'>,
  adapters: readonly AdapterUse[],
): QueueTerms {
  const terms: QueueTerms = {}
  const seconds = targetOf(headers[TTFT_HEADER]) ?? ttftTarget
  if (seconds !== undefined) terms.firstTokenMs = seconds * 1000
  if (scheduling !== 'fair') return terms
  if (fairness === 'adapter') terms.flow = adapters.map(({ name }) => name).join(', ')
  else terms.flow = tenantOf({ tenantHeader }, { headers, caller })
  return terms
}

/** Whose a request is: the tenant that a trusted gateway names in `--tenant-header`, or the key's. undefined: nobody says. */
export function tenantOf(
  { tenantHeader }: Pick<QueueSettings, 'tenantHeader'>,
  { headers, caller }: Pick<FastifyRequest, 'headers' | 'caller'>,
): string | undefined {
  return told(tenantHeader && headers[tenantHeader.toLowerCase()]) ?? caller.tenant
}

/** Lists of header lines are one text to Node but for a few names. */
const told = (value: string | string[] | undefined) =>
  value === undefined || value.length === 0 ? undefined : String(value).slice(0, LONGEST_TENANT)

function targetOf(value: string | string[] | undefined): number | undefined {
  if (value === undefined) return undefined
  const seconds = /^\d{1,9}(\.\d{1,9})?$/.test(String(value)) ? Number(value) : Number.NaN
  if (seconds > 0 && seconds <= LONGEST_TARGET) return seconds
  throw new ApiError(
    'invalid_request',
    `${TTFT_HEADER} must be the seconds within which the first token is wanted, like 2.5, at most ${LONGEST_TARGET}`,
    TTFT_HEADER,
  )
}
