/** Scores computed by hand from what llm-d's router says that it does. */
import t from 'tap'
import { INDEX_TOKENS, PrefixIndex } from '../../../bench/placement/prefix-index.ts'
import { highest, scored } from '../../../bench/placement/router.ts'
import { type Endpoint, rendezvousWeight, SCORERS, type ScorerName } from '../../../bench/placement/scorers.ts'
import { seeded } from '../../support/pace.ts'

interface Shown {
  waiting?: number
  running?: number
  usage?: number
  active?: number[]
  awaited?: number[]
  maxLora?: number
  inFlight?: number
  matched?: number
  coldAt?: number
}

function endpoint(id: number, shown: Shown): Endpoint {
  const {
    waiting = 0,
    running = 0,
    usage = 0,
    active = [],
    awaited = [],
    maxLora = 4,
    inFlight = 0,
    matched = 0,
    coldAt = 0,
  } = shown
  return {
    id,
    told: { waiting, running, usage, active: new Set(active), awaited: new Set(awaited), maxLora },
    inFlight,
    matched,
    coldAt,
  }
}
const endpoints = (...shown: Shown[]) => shown.map((one, id) => endpoint(id, one))
const scoresOf = (name: ScorerName, ...shown: Shown[]) => SCORERS[name](endpoints(...shown), { adapter: 7, blocks: 4 })

t.test('each scorer', async (t) => {
  t.same(
    scoresOf('queue-scorer', { waiting: 2 }, { waiting: 10 }, { waiting: 4 }),
    [1, 0, 0.75],
    'between the shortest and the longest',
  )
  t.same(scoresOf('queue-scorer', { waiting: 3 }, { waiting: 3 }), [1, 1], 'alike')
  t.same(scoresOf('running-requests-size-scorer', { running: 0 }, { running: 4 }, { running: 1 }), [1, 0, 0.75])
  t.same(scoresOf('kv-cache-utilization-scorer', { usage: 0.25 }, { usage: 1 }), [0.75, 0])
  t.same(scoresOf('active-request-scorer', { inFlight: 0 }, { inFlight: 4 }, { inFlight: 1 }), [1, 0, 0.75], 'idle is 1')
  t.same(scoresOf('active-request-scorer', { inFlight: 4 }, { inFlight: 4 }), [0, 0], 'the busiest is 0, if all are')
  t.same(
    scoresOf(
      'lora-affinity-scorer',
      { active: [7, 1, 2, 3] },
      { active: [1, 2], awaited: [3] },
      { active: [1, 2], awaited: [7, 3] },
      { active: [1, 2, 3], awaited: [4] },
    ),
    [1, 0.8, 0.6, 0],
    'there, room, awaited, full',
  )
  t.same(scoresOf('lora-affinity-scorer', { active: [1], awaited: [7] }), [0.8], 'room counts before waiting')
  t.same(scoresOf('prefix-cache-scorer', { matched: 0 }, { matched: 3 }, { matched: 4 }), [0, 0.75, 1])
  t.same(scoresOf('no-hit-lru-scorer', { matched: 1 }, {}), [0.5, 0.5], 'something is cached')
  t.same(scoresOf('no-hit-lru-scorer', { coldAt: 5 }, {}, { coldAt: 2 }), [0, 1, 0.5], 'never, then longest ago')
})

t.test('weights add up, and equals are drawn by lot', async (t) => {
  const two = endpoints({ waiting: 1, active: [7] }, { waiting: 0, usage: 0.5 })
  const sums = scored(
    two,
    { adapter: 7, blocks: 1 },
    { 'queue-scorer': 2, 'kv-cache-utilization-scorer': 2, 'lora-affinity-scorer': 3 },
  )
  t.equal(sums[0], 0 + 2 + 3)
  t.ok(Math.abs(sums[1] - (2 + 1 + 3 * 0.8)) < 1e-12)
  t.equal(
    highest([1, 3, 2], () => 0.99),
    1,
  )
  const { next } = seeded(3)
  const counts = [0, 0, 0]
  for (let i = 0; i < 3000; i++) counts[highest([2, 1, 2], next)]++
  t.equal(counts[1], 0)
  t.ok(Math.abs(counts[0] - 1500) < 150, `${counts}`)
})

t.test('the router remembers prompts by blocks, the oldest forgotten first', async (t) => {
  const index = new PrefixIndex(10)
  const shared = 2 * INDEX_TOKENS
  index.add(1, 4 * INDEX_TOKENS, shared)
  t.equal(index.matched(1), 2)
  t.equal(index.matched(2), 0)
  index.add(2, 3 * INDEX_TOKENS + 1, shared)
  t.equal(index.matched(1), 2, 'eight blocks of ten')
  index.add(1, 4 * INDEX_TOKENS, shared)
  t.equal(index.matched(2), 2, "two of the first prompt's own were the oldest")
  index.add(3, 4 * INDEX_TOKENS, shared)
  t.same(
    [1, 2, 3].map((adapter) => index.matched(adapter)),
    [2, 0, 2],
  )
  index.add(4, INDEX_TOKENS, INDEX_TOKENS - 1)
  t.equal(index.matched(4), 0, 'less than a block is nothing')
})

t.test('rendezvous hashing: even, and who leaves takes only its own', async (t) => {
  const first = (adapter: number, ids: number[]) =>
    ids.reduce((best, id) => (rendezvousWeight(adapter, id) > rendezvousWeight(adapter, best) ? id : best))
  const eight = [0, 1, 2, 3, 4, 5, 6, 7]
  const counts = eight.map(() => 0)
  let moved = 0
  for (let adapter = 0; adapter < 8000; adapter++) {
    const home = first(adapter, eight)
    counts[home]++
    const then = first(adapter, eight.slice(0, 7))
    if (home !== 7 && then !== home) moved++
  }
  t.equal(moved, 0)
  // Four standard deviations of a binomial.
  for (const count of counts) t.ok(Math.abs(count - 1000) < 4 * Math.sqrt(8000 * (1 / 8) * (7 / 8)), `${counts}`)
  const cold = SCORERS['rendezvous of cold ones']
  t.same(cold(endpoints({ active: [7] }, {}), { adapter: 7, blocks: 1 }), [0, 0], 'not cold')
  t.equal(cold(endpoints({}, {}, {}), { adapter: 7, blocks: 1 }).indexOf(1), first(7, [0, 1, 2]))
  const bounded = SCORERS['bounded rendezvous']
  const home = first(7, [0, 1, 2])
  const busy = [0, 1, 2].map((id) => endpoint(id, { inFlight: id === home ? 30 : 1 }))
  t.equal(bounded(busy, { adapter: 7, blocks: 1 })[home], 0, 'the next one, where the first has too much')
})
