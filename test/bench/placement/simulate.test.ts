/** The simulator against what is known exactly of simple systems. */
import t, { type Test } from 'tap'
import { popularityNamed, powerLaw, recorded, sampler } from '../../../bench/placement/popularity.ts'
import { PROFILES, type Profile } from '../../../bench/placement/profiles.ts'
import type { Policy } from '../../../bench/placement/router.ts'
import { capacityOf, outcomeOf, type Run, simulate } from '../../../bench/placement/simulate.ts'
import { type Request, workload } from '../../../bench/placement/workload.ts'
import { seeded } from '../../support/pace.ts'

const NOTHING = { step: 0, tokens: 0, context: 0, pairs: 0, rows: 0, adapterMb: 0, productMb: 0 }
/** A step takes 100 ms, whatever is in it; nothing else takes time. */
const PLAIN: Profile = {
  name: 'plain',
  step: { ...NOTHING, step: 100 },
  blocks: 1_000_000,
  blockTokens: 16,
  adapterMb: 1,
  adapterBlocks: 1,
  coldMs: 0,
  hostMs: 0,
  hostAdapters: 1_000_000,
  maxSequences: 1,
  maxBatchTokens: 256,
  maxStepMs: 1000,
  metricsAdapters: 256,
}
const RANDOM: Policy = { name: 'random', weights: {} }
const mean = (values: number[]) => values.reduce((a, b) => a + b, 0) / values.length

/** Poisson arrivals of requests of one token each way. */
function poisson(count: number, rate: number, adapterOf: (i: number) => number, seed: number): Request[] {
  const { next } = seeded(seed)
  let at = 0
  return Array.from({ length: count }, (_, i) => {
    at += (-1000 * Math.log(1 - next())) / rate
    return { adapter: adapterOf(i), prompt: 1, output: 1, shared: 0, at }
  })
}

t.test('one replica, one at a time: the wait of an M/D/1 queue', async (t) => {
  for (const load of [0.5, 0.8]) {
    const requests = poisson(40_000, load * 10, () => 0, 5)
    const { jobs } = simulate({ profile: PLAIN, replicas: 1, policy: RANDOM, requests, seed: 1 })
    const waited = mean(jobs.map((job) => job.started - job.at))
    const theory = (100 * load) / (2 * (1 - load))
    t.ok(Math.abs(waited / theory - 1) < 0.05, `load ${load}: ${waited} ms, by Pollaczek and Khinchine ${theory}`)
    t.ok(
      jobs.every((job) => Math.abs(job.ended - job.started - 100) < 1e-6),
      'each takes its step',
    )
  }
})

t.test('hits in a pool of so many adapters, used longest ago out first: as by Che', async (t) => {
  const popularity = powerLaw(2000, 0.3)
  const draw = sampler(popularity, seeded(9).next)
  for (const places of [100, 400]) {
    // Requests one after the other, so that nothing but the order of use decides.
    const requests = poisson(25_000, 1, draw, 7)
    const profile = { ...PLAIN, step: { ...NOTHING, step: 0.01 }, blocks: places + 1, hostAdapters: 1 }
    const { pool } = outcomeOf(simulate({ profile, replicas: 1, policy: RANDOM, requests, seed: 1 }), 0.2)
    // The time in which so many different ones are asked for, by bisection.
    let [low, high] = [0, 1e7]
    for (let i = 0; i < 100; i++) {
      const time = (low + high) / 2
      if (popularity.reduce((sum, part) => sum + 1 - Math.exp(-part * time), 0) < places) low = time
      else high = time
    }
    const theory = popularity.reduce((sum, part) => sum + part * (1 - Math.exp(-part * low)), 0)
    t.ok(Math.abs(pool - theory) < 0.01, `${places} places: ${pool}, by Che ${theory}`)
  }
})

const REAL = PROFILES['135m']
const asked = (rate: number, requests = 1500) => workload({ requests, rate, shared: 256, seed: 4, adapters: recorded(10_000) })
const affine: Policy = { name: 'affine', weights: { 'queue-scorer': 2, 'lora-affinity-scorer': 3, 'prefix-cache-scorer': 3 } }

/** Nobody is lost, and everything is in its order. */
function whole(t: Test, { jobs, replicas, loads }: Run, requests: readonly Request[]): void {
  t.equal(jobs.length, requests.length)
  const wrong = jobs.filter(
    (job, i) =>
      !(job.at <= job.started && job.started < job.first && job.first <= job.ended) ||
      job.adapter !== requests[i].adapter ||
      (job.output === 1) !== (job.first === job.ended) ||
      job.computed !== job.prompt,
  )
  t.same(wrong, [])
  t.ok(
    replicas.every((replica) => replica.next === Number.POSITIVE_INFINITY),
    'nothing is left',
  )
  t.equal(
    loads[loads.length - 1],
    replicas.reduce((sum, replica) => sum + replica.coldLoads, 0),
  )
}
t.test('every request ends, once, and each adapter is loaded at least once', async (t) => {
  const requests = asked(3)
  const run = simulate({ profile: REAL, replicas: 8, policy: affine, requests, seed: 1 })
  whole(t, run, requests)
  t.ok(run.loads[requests.length] >= new Set(requests.map(({ adapter }) => adapter)).size)
  const { pool, host, cold } = outcomeOf(run, 0)
  t.ok(pool + host + cold / 1000 <= 1 + 1e-9, 'a request finds its adapter, or waits for a load of its own or of another')
})

t.test('a replica lost: its requests end elsewhere', async (t) => {
  const requests = asked(3)
  const run = simulate({ profile: REAL, replicas: 8, policy: affine, requests, seed: 1, loseAfter: 750 })
  t.ok(run.replicas[0].abandoned().length > 0, 'it had some')
  const lost = {
    ...run,
    replicas: run.replicas.slice(1),
    loads: [run.replicas.slice(1).reduce((sum, { coldLoads }) => sum + coldLoads, 0)],
  }
  whole(t, lost, requests)
})

t.test('the same for the same seed, and not for another', async (t) => {
  const times = (seed: number) => {
    const { jobs } = simulate({ profile: REAL, replicas: 4, policy: affine, requests: asked(1.5, 400), seed })
    return jobs.map((job) => job.ended)
  }
  t.same(times(1), times(1))
  t.notSame(times(1), times(2))
  t.same(asked(3), asked(3))
  t.same(
    asked(6).map(({ at, ...request }) => request),
    asked(3).map(({ at, ...request }) => request),
    'the rate changes only when',
  )
})

t.test('what the gateway sees is up to 50 ms old', async (t) => {
  const { Replica } = await import('../../../bench/placement/replica.ts')
  const replica = new Replica(0, { ...PLAIN, coldMs: 20, step: { ...NOTHING, step: 1000 } })
  const job = {
    adapter: 3,
    prompt: 1,
    output: 1,
    shared: 0,
    at: 60,
    computed: 0,
    blocks: 0,
    uses: false,
    found: 'cold' as const,
    started: NaN,
    first: NaN,
    ended: NaN,
  }
  replica.receive(job, 60)
  const seen = (at: number) => {
    while (replica.next <= at) replica.advance(replica.next)
    const { waiting, running, active, awaited } = replica.metrics(at)
    return [waiting, running, [...active], [...awaited]]
  }
  t.same(seen(70), [0, 0, [], []], 'as at 50')
  t.same(seen(99), [0, 0, [], []])
  t.same(seen(100), [0, 1, [3], []], 'loaded at 80, and begun')
  t.same(seen(1090), [0, 1, [3], []])
  t.same(seen(1110), [0, 0, [3], []], 'over at 1080, and still there')
})

t.test('affinity keeps adapters where they are, and capacity is what one replica completes', async (t) => {
  const requests = asked(0.3 * 8 * capacityOf(REAL, asked(1, 300)), 2000)
  const hits = (policy: Policy) => outcomeOf(simulate({ profile: REAL, replicas: 8, policy, requests, seed: 1 }), 0.3).pool
  t.ok(hits(affine) > 2 * hits(RANDOM), `${hits(affine)} against ${hits(RANDOM)}`)
  const plain = capacityOf(
    PLAIN,
    poisson(1000, 1, () => 0, 1),
  )
  t.ok(Math.abs(plain - 10) < 0.02, `${plain} a second at 100 ms each`)
})

t.test('popularity', async (t) => {
  const shares = recorded(10_000)
  const upTo = (rank: number) => shares.slice(0, rank).reduce((a, b) => a + b, 0)
  for (const [rank, share] of [
    [1, 0.0256],
    [100, 0.2742],
    [1000, 0.5563],
    [8300, 1],
    [10_000, 1],
  ])
    t.ok(Math.abs(upTo(rank) - share) < 1e-9, `${rank}`)
  t.ok(
    shares.every((share, i) => i === 0 || share <= shares[i - 1] * 1.4),
    'the more popular first, but where two points of the record meet',
  )
  const { next } = seeded(2)
  const draw = sampler(popularityNamed('slora:0.3', 200), next)
  const counts = new Float64Array(200)
  for (let i = 0; i < 100_000; i++) counts[draw()]++
  t.ok(Math.abs(counts[0] / 100_000 - (1 / 200) ** 0.3) < 0.01, 'of floor(200 × u^(1/0.3)) none is 0 as often')
  t.throws(() => popularityNamed('zipf', 10), { message: /recorded, uniform or slora/ })
})
