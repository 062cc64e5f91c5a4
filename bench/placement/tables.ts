/** Runs of many scenarios and what is printed of them. */
import { table } from '../report.ts'
import { popularityNamed, recordedOrder } from './popularity.ts'
import { PROFILES, type Profile } from './profiles.ts'
import type { Policy } from './router.ts'
import { capacityOf, type Outcome, outcomeOf, simulate } from './simulate.ts'
import { type Asked, type Request, workload } from './workload.ts'

/** Part of the requests after which counting begins. */
export const WARM = 0.25
/** Requests that one replica's capacity is taken from. */
const FOR_CAPACITY = 600

export interface Settings {
  profile: Profile
  adapters: Asked['adapters']
  shared: number
  seed: number
  /** Requests of a run: so many for each replica, but at least the other. */
  each: number
  least: number
}

/** `coldMs`: instead of the profile's. */
export function settingsOf(
  values: {
    profile: string
    popularity: string
    adapters: string
    trace?: string
    shared: string
    seed: string
    'cold-ms'?: string
  },
  each: number,
  least: number,
): Settings {
  const profile = PROFILES[values.profile]
  if (!profile) throw new Error(`profile ${values.profile}: ${Object.keys(PROFILES).join(' or ')}`)
  return {
    profile: values['cold-ms'] === undefined ? profile : { ...profile, coldMs: Number(values['cold-ms']) },
    adapters: values.trace ? recordedOrder(values.trace) : popularityNamed(values.popularity, Number(values.adapters)),
    shared: Number(values.shared),
    seed: Number(values.seed),
    each,
    least,
  }
}

export class Bench {
  readonly settings: Settings
  /** Requests a second of one replica. */
  readonly capacity: number

  constructor(settings: Settings) {
    this.settings = settings
    const { profile, adapters, shared, seed } = settings
    this.capacity = capacityOf(profile, workload({ requests: FOR_CAPACITY, rate: 1, shared, seed, adapters }))
  }

  requests(replicas: number, load: number): Request[] {
    const { each, least, adapters, shared, seed } = this.settings
    return workload({ requests: Math.max(least, each * replicas), rate: load * replicas * this.capacity, shared, seed, adapters })
  }

  outcome(replicas: number, load: number, policy: Policy): Outcome {
    const { profile, seed } = this.settings
    return outcomeOf(simulate({ profile, replicas, policy, requests: this.requests(replicas, load), seed }), WARM)
  }

  /** Cold loads for a thousand requests, before the first replica is lost and of the requests (a tenth of all) after that; and the latter's 99th percentile of first tokens. */
  lost(replicas: number, load: number, policy: Policy): { before: number; after: number; first99: number } {
    const { profile, seed } = this.settings
    const requests = this.requests(replicas, load)
    const at = Math.floor(requests.length / 2)
    const some = Math.floor(requests.length / 10)
    const run = simulate({ profile, replicas, policy, requests, seed, loseAfter: at })
    const per1000 = (from: number, to: number) => (1000 * (run.loads[to] - run.loads[from])) / (to - from)
    const after = outcomeOf({ ...run, jobs: run.jobs.slice(at, at + some), loads: run.loads.slice(at, at + some + 1) }, 0)
    return { before: per1000(at - some, at), after: per1000(at, at + some), first99: after.first99 }
  }
}

export const HEAD = [
  'load',
  'in the pool',
  'in host memory',
  'cold loads /1,000',
  'queue p50',
  'queue p99',
  'first token p50',
  'first token p99',
  'busiest',
]

const seconds = (ms: number) => (ms < 9_995 ? `${(ms / 1000).toFixed(2)} s` : `${(ms / 1000).toFixed(0)} s`)
const percent = (part: number) => `${(100 * part).toFixed(1)} %`

export function cells(load: number, outcome: Outcome): string[] {
  const { pool, host, cold, queue50, queue99, first50, first99, imbalance } = outcome
  const times = [queue50, queue99, first50, first99].map(seconds)
  return [load.toFixed(2), percent(pool), percent(host), cold.toFixed(0), ...times, `${imbalance.toFixed(2)} ×`]
}

/** A table for a number of replicas: each policy at each load. */
export function comparison(bench: Bench, replicas: number, loads: number[], policies: Policy[]): string {
  const rows = policies.flatMap((policy) =>
    loads.map((load, i) => [i === 0 ? policy.name : '', ...cells(load, bench.outcome(replicas, load, policy))]),
  )
  return table(['policy', ...HEAD], rows)
}

export function losses(bench: Bench, replicas: number, load: number, policies: Policy[]): string {
  const rows = policies.map((policy) => {
    const { before, after, first99 } = bench.lost(replicas, load, policy)
    return [policy.name, before.toFixed(0), after.toFixed(0), seconds(first99)]
  })
  return table(['policy', 'cold loads /1,000 before', 'after', 'first token p99 after'], rows)
}
