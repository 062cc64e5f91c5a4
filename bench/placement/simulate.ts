/** Requests through a router to replicas, in virtual time. The same for the same seed. */
import { quantile } from '../report.ts'
import type { Profile } from './profiles.ts'
import { type Job, Replica, SCRAPE_MS } from './replica.ts'
import { type Policy, Router } from './router.ts'
import type { Request } from './workload.ts'

export interface Scenario {
  profile: Profile
  replicas: number
  policy: Policy
  requests: readonly Request[]
  seed: number
  /** After this many requests have come the first replica is gone; what it had goes to the others, from its beginning. */
  loseAfter?: number
}

export interface Run {
  /** In the order in which they came. */
  jobs: Job[]
  replicas: Replica[]
  /** Cold loads of all replicas before each request, and after the last. */
  loads: number[]
  /** Milliseconds until the last one had ended. */
  ended: number
}

export function simulate({ profile, replicas: count, policy, requests, seed, loseAfter }: Scenario): Run {
  const replicas = Array.from({ length: count }, (_, i) => new Replica(i, profile, (i * SCRAPE_MS) / count))
  for (const replica of replicas) replica.tellsHost = policy.tellsHost ?? false
  const router = new Router(policy, replicas, profile.blocks, seed)
  const living = [...replicas]
  const nexts = living.map(() => Number.POSITIVE_INFINITY)
  const jobs: Job[] = []
  const loads: number[] = []
  let loaded = 0
  let now = 0

  const send = (job: Job) => {
    const replica = router.route(job, now)
    const before = replica.coldLoads
    replica.receive(job, now)
    loaded += replica.coldLoads - before
    nexts[living.indexOf(replica)] = replica.next
  }
  const lose = () => {
    const lost = living.shift() as Replica
    nexts.shift()
    router.drop(lost)
    for (const job of lost.abandoned()) send(Object.assign(job, fresh()))
  }
  for (let i = 0; ; ) {
    let first = 0
    for (let at = 1; at < nexts.length; at++) if (nexts[at] < nexts[first]) first = at
    if (i < requests.length && requests[i].at <= nexts[first]) {
      now = requests[i].at
      if (i === loseAfter) lose()
      loads.push(loaded)
      const job = { ...requests[i++], ...fresh() }
      jobs.push(job)
      send(job)
      continue
    }
    if (nexts[first] === Number.POSITIVE_INFINITY) break
    now = nexts[first]
    const replica = living[first]
    const before = replica.coldLoads
    for (const _ of replica.advance(now)) router.ended(replica)
    loaded += replica.coldLoads - before
    nexts[first] = replica.next
  }
  loads.push(loaded)
  return { jobs, replicas, loads, ended: now }
}

const fresh = (): Omit<Job, keyof Request> => ({
  started: Number.NaN,
  first: Number.NaN,
  ended: Number.NaN,
  found: 'cold',
  computed: 0,
  blocks: 0,
  uses: false,
})

export interface Outcome {
  /** Parts of the requests whose adapter was in the pool, and in host memory, when they came. */
  pool: number
  host: number
  /** Cold loads for a thousand requests. */
  cold: number
  /** Milliseconds from arrival until the prompt began to be computed, and until the first token. */
  queue50: number
  queue99: number
  first50: number
  first99: number
  /** The busiest replica's time in steps to the mean. */
  imbalance: number
}

/** Of what came after the first part of the requests. */
export function outcomeOf({ jobs, replicas, loads }: Run, warm: number): Outcome {
  const from = Math.floor(jobs.length * warm)
  const counted = jobs.slice(from)
  const part = (found: Job['found']) => counted.filter((job) => job.found === found).length / counted.length
  const queues = counted.map((job) => job.started - job.at)
  const firsts = counted.map((job) => job.first - job.at)
  const busy = replicas.map((replica) => replica.busy)
  return {
    pool: part('pool'),
    host: part('host'),
    cold: (1000 * (loads[loads.length - 1] - loads[from])) / counted.length,
    queue50: quantile(queues, 0.5),
    queue99: quantile(queues, 0.99),
    first50: quantile(firsts, 0.5),
    first99: quantile(firsts, 0.99),
    imbalance: Math.max(...busy) / (busy.reduce((a, b) => a + b, 0) / busy.length),
  }
}

/** Requests a second that one replica completes when it always has more to do, its adapters in host memory: the middle part of a run of these. */
export function capacityOf(profile: Profile, requests: readonly Request[]): number {
  const at0 = requests.map((request) => ({ ...request, at: 0 }))
  const near = { ...profile, coldMs: 0, hostAdapters: Number.POSITIVE_INFINITY }
  const { jobs } = simulate({ profile: near, replicas: 1, policy: { name: 'one', weights: {} }, requests: at0, seed: 0 })
  const ended = jobs.map((job) => job.ended)
  return (0.6 * jobs.length * 1000) / (quantile(ended, 0.8) - quantile(ended, 0.2))
}
