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

  /** Of a thousand counted requests those for an adapter that nobody had asked for before: cold whatever the router does. */
  firsts(replicas: number): number {
    const requests = this.requests(replicas, 1)
    const from = Math.floor(requests.length * WARM)
    const before = new Set(requests.slice(0, from).map(({ adapter }) => adapter))
    const all = new Set(requests.map(({ adapter }) => adapter))
    return (1000 * (all.size - before.size)) / (requests.length - from)
  }

  outcome(replicas: number, load: number, policy: Policy): Outcome {
    const { profile, seed } = this.settings
    return outcomeOf(simulate({ profile, replicas, policy, requests: this.requests(replicas, load), seed }), WARM)
  }

  /**
   * Of the requests (a tenth of all) that come after the first replica is lost: cold loads for a thousand, and as many where none is lost; the 99th percentile of first tokens, likewise.
   */
  lost(replicas: number, load: number, policy: Policy): { cold: number; first99: number }[] {
    const { profile, seed } = this.settings
    const requests = this.requests(replicas, load)
    const at = Math.floor(requests.length / 2)
    const to = at + Math.floor(requests.length / 10)
    return [undefined, at].map((loseAfter) => {
      const run = simulate({ profile, replicas, policy, requests, seed, loseAfter })
      return outcomeOf({ ...run, jobs: run.jobs.slice(at, to), loads: run.loads.slice(at, to + 1) }, 0)
    })
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
    const [kept, lost] = bench.lost(replicas, load, policy)
    return [policy.name, kept.cold.toFixed(0), lost.cold.toFixed(0), seconds(kept.first99), seconds(lost.first99)]
  })
  return table(['policy', 'cold loads /1,000', 'after the loss', 'first token p99', 'after the loss'], rows)
}
