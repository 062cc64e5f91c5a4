/** Which version of an adapter serves a request, where its name stands for two: the same client always gets the same one. */
import { createHash } from 'node:crypto'
import { AdapterError, type AdapterErrorCode, type Lease } from '../adapters-store/index.ts'
import type { Caller } from './access/caller.ts'
import type { AdapterRecord } from './catalogue.ts'
import type { Serving } from './types.ts'

/** Characters of `user` that tell clients apart: it may be as long as a body. */
const TELLING = 1024

/** Who asks, as far as that is said: the key's tenant and the body's `user`. undefined: nobody says, and each request is another client's. */
export function clientOf({ tenant }: Pick<Caller, 'tenant'>, user: string | null | undefined): string | undefined {
  if (tenant === undefined && !user) return undefined
  return JSON.stringify([tenant ?? null, user?.slice(0, TELLING) || null])
}

/**
 * The version of a name that a client gets. The digest decides where one is demanded: the version that has it, as far as digests are known, else the name's own, whose lease tells. A client's
 * place among all is a hash of it with the canary's identity, and the canary takes those below its share: who has it keeps it when the share grows.
 */
export function versionFor(own: AdapterRecord, client: string | undefined, digest?: string): AdapterRecord {
  const { canary } = own
  if (!canary) return own
  if (digest !== undefined) {
    if (own.digest?.startsWith(digest)) return own
    return (canary.adapter.digest ?? canary.identity).startsWith(digest) ? canary.adapter : own
  }
  return placeOf(own.name, canary.identity, client) < canary.share ? canary.adapter : own
}

/** From 0 to below 1, evenly. */
function placeOf(name: string, identity: string, client: string | undefined): number {
  if (client === undefined) return Math.random()
  const hash = createHash('sha256').update(JSON.stringify([name, identity, client]))
  return hash.digest().readUIntBE(0, 6) / 2 ** 48
}

/** They say nothing of the version that was asked for. */
const OF_THE_SERVER = new Set<AdapterErrorCode>(['adapter_no_room', 'adapter_store_closed', 'adapter_loader_lost'])

interface Wanted {
  record: AdapterRecord
  /** Absent: any version does. */
  digest?: string
}

/**
 * Leases versions. What cannot be loaded, is no name's own version any more, and was not demanded, is answered for by what is: a canary whose files are gone costs no request. Rejects as
 * `lease` does. `records`: what was leased.
 */
export async function leaseVersions(
  { adapters, log }: Pick<Serving, 'adapters' | 'log'>,
  wanted: readonly Wanted[],
  signal: AbortSignal,
): Promise<{ lease: Lease; records: readonly AdapterRecord[] }> {
  const first = wanted.map(({ record }) => record)
  try {
    return { lease: await adapters.lease(first, signal), records: first }
  } catch (error) {
    const records = wanted.map(({ record, digest }) => (digest === undefined ? (adapters.get(record.name) ?? record) : record))
    const known = error instanceof AdapterError && !OF_THE_SERVER.has(error.code)
    if (!known || records.every((record, i) => record === first[i])) throw error
    const lease = await adapters.lease(records, signal)
    for (const [i, { canary, name }] of records.entries()) {
      if (canary?.adapter !== first[i]) continue
      canary.requests.fallbacks++
      if (!canary.failing) log.warn(`the canary of adapter ${name} cannot be loaded, so ${name} answers for it: ${error.detail}`)
      canary.failing = true
    }
    return { lease, records }
  }
}

/** Counts a request for the version that answers it, where there are two. */
export function countVersions({ adapters }: Pick<Serving, 'adapters'>, records: readonly AdapterRecord[]): void {
  for (const record of records) {
    const own = adapters.get(record.name)
    if (!own?.canary) continue
    const { adapter, requests } = own.canary
    if (record === own) requests.main++
    if (record !== adapter) continue
    requests.canary++
    own.canary.failing = false
  }
}
