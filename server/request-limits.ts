/** What requests of each tenant and each adapter may take together: in flight, waiting, tokens a minute. Keys have the same for themselves (access/quota.ts). */
import type { UseLimits } from '../adapters-store/index.ts'
import { Quota, type QuotaLimits, type Spent, type Whose } from './access/quota.ts'
import type { Config } from './config/settings.ts'

export type LimitSettings = Pick<
  Config,
  | 'tenantMaxRequests'
  | 'tenantMaxQueued'
  | 'tenantTokensPerMinute'
  | 'adapterMaxRequests'
  | 'adapterMaxQueued'
  | 'adapterTokensPerMinute'
>

/** Who asks for what. */
export interface Asked {
  /** Of the key. */
  key: Quota
  /** undefined: none is named; all those are one. */
  tenant: string | undefined
  /** Names that the request has, whichever version of each serves it. */
  adapters: readonly { name: string; limits?: UseLimits }[]
  /** False: it only reads or writes text, which takes no tokens and waits for no step. */
  generates: boolean
}

const namesOf = (of: 'tenant' | 'adapter') => ({
  maxRequests: `${of}-max-requests`,
  maxQueued: `${of}-max-queued`,
  tokensPerMinute: `${of}-tokens-per-minute`,
})

export class RequestLimits {
  /** Of each adapter that has no limits of its own. */
  readonly ofAdapters: UseLimits
  private readonly ofTenants: UseLimits
  private readonly tenants: Counters
  private readonly adapters: Counters

  constructor(settings: LimitSettings, now = () => performance.now()) {
    this.ofAdapters = {
      maxRequests: settings.adapterMaxRequests,
      maxQueued: settings.adapterMaxQueued,
      tokensPerMinute: settings.adapterTokensPerMinute,
    }
    this.ofTenants = {
      maxRequests: settings.tenantMaxRequests,
      maxQueued: settings.tenantMaxQueued,
      tokensPerMinute: settings.tenantTokensPerMinute,
    }
    const who = (name: string) => (name === '' ? 'the tenant of all who name none' : `the tenant ${name}`)
    this.tenants = new Counters({ of: 'tenant', names: namesOf('tenant') }, who, now)
    this.adapters = new Counters({ of: 'adapter', names: namesOf('adapter') }, (name) => `the adapter ${name}`, now)
  }

  /** Takes a request's place in all that it counts for, or throws ApiError and takes none. It comes before any work is done for the request. */
  enter({ key, tenant, adapters, generates }: Asked): Place {
    // Before any is taken up: one that has just been is at rest until it has been entered.
    this.tenants.tidy()
    this.adapters.tidy()
    const quotas = isAny(this.ofTenants) ? [this.tenants.of(tenant ?? '', this.ofTenants)] : []
    for (const { name, limits } of adapters) {
      const settled = { ...this.ofAdapters, ...limits }
      if (isAny(settled)) quotas.push(this.adapters.of(name, settled))
    }
    return new Place(key, quotas, generates)
  }

  /** Throws ApiError where a tenant has as many requests in flight as it may: for what is done before it is known which adapters there are. */
  requireTenant(tenant: string | undefined): void {
    if (!isAny(this.ofTenants)) return
    this.tenants.tidy()
    this.tenants.of(tenant ?? '', this.ofTenants).requireRequest()
  }

  /** Tenants and adapters that are counted now. */
  get counted(): number {
    return this.tenants.size + this.adapters.size
  }
}

const isAny = (limits: UseLimits) => Object.values(limits).some((limit) => limit !== undefined)

/** A request's place. */
export class Place {
  private readonly key: Quota
  private readonly others: readonly Quota[]
  private waits: (() => void)[]
  private ends: (() => void)[]
  private over = false

  constructor(key: Quota, others: readonly Quota[], generates: boolean) {
    this.key = key
    this.others = others
    const waiting = generates ? [key, ...others] : []
    for (const quota of others) quota.requireRequest()
    for (const quota of waiting) quota.requireTurn()
    this.ends = others.map((quota) => quota.enter())
    this.waits = waiting.map((quota) => quota.wait())
  }

  /** Somebody bounds how many wait: the engine is to say at once when this one no longer does. */
  get bounded(): boolean {
    return this.key.boundsQueue || this.others.some((quota) => quota.boundsQueue)
  }

  /** It waits no longer. */
  begun(): void {
    for (const end of this.waits.splice(0)) end()
  }

  /** Counts its sequences for the key, and its tokens, as they come, for all. Throws ApiError where they have been used up meanwhile, or the key has too many sequences. */
  work(sequences: number, spent: Spent): void {
    if (this.over) return
    for (const quota of [this.key, ...this.others]) this.ends.push(quota.work(sequences, spent))
  }

  /** It is over. Idempotent. */
  leave(): void {
    this.over = true
    this.begun()
    for (const end of this.ends.splice(0)) end()
  }
}

/** From so many on it is looked which are at rest. */
const FEW = 1024
/** More are not kept: of those that have nothing in flight the ones used longest ago are forgotten, with what they owe. */
const MOST = 65_536

/** Quotas by name, as long as they differ from new ones. */
class Counters {
  /** In order of last use. */
  private readonly quotas = new Map<string, Quota>()
  private readonly whose: Omit<Whose, 'who'>
  private readonly who: (name: string) => string
  private readonly now: () => number
  private tidyAt = FEW

  constructor(whose: Omit<Whose, 'who'>, who: (name: string) => string, now: () => number) {
    this.whose = whose
    this.who = who
    this.now = now
  }

  get size(): number {
    return this.quotas.size
  }

  of(name: string, limits: QuotaLimits): Quota {
    const known = this.quotas.get(name)
    if (known) {
      known.change(limits)
      this.quotas.delete(name)
      this.quotas.set(name, known)
      return known
    }
    const made = new Quota(limits, this.now, { ...this.whose, who: this.who(name) })
    this.quotas.set(name, made)
    return made
  }

  /** Where there are many, what is at rest goes; looking costs as much as has come since the last look. */
  tidy(): void {
    if (this.quotas.size < this.tidyAt) return
    for (const [name, quota] of this.quotas) if (quota.atRest) this.quotas.delete(name)
    if (this.quotas.size >= MOST)
      for (const [name, quota] of this.quotas) {
        // More than one, so that the next look is not the next request's.
        if (this.quotas.size <= MOST / 2) break
        if (quota.inFlight === 0) this.quotas.delete(name)
      }
    this.tidyAt = Math.min(MOST, Math.max(FEW, 2 * this.quotas.size))
  }
}
