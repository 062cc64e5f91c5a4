/** Early abort: who cannot have its first token in time is told at once, and those who can have it. */
import t from 'tap'
import { FirstTokens } from '../../../runtime/scheduler/first-token.ts'
import { Sequence } from '../../../runtime/scheduler/sequence.ts'
import { greedy } from '../../support/greedy.ts'
import { seeded } from '../../support/pace.ts'
import { packed, ToyCore } from '../../support/toy-core.ts'

const STEP_MS = 10

/** Gamma arrivals of `rate` a second with a coefficient of variation, for so many seconds, at a server that can serve 40 a second. `target`: of the first token, in ms. */
async function load(rate: number, cv: number, seconds: number, target: number | undefined, seed: number) {
  let now = 1_000_000
  const toy = new ToyCore({ blockCount: 200, maxSequences: 4, clock: () => now })
  const random = seeded(seed)
  // Erlang or hyperexponential: what Gamma is at these cvs, near enough.
  const gap = () => {
    const mean = 1000 / rate
    const exponential = (m: number) => -m * Math.log(1 - random.next())
    if (cv <= 1) return exponential(mean)
    const often = 1 / (2 * cv)
    return random.next() < often ? exponential(mean / (2 * often)) : exponential(mean / (2 * (1 - often)))
  }
  const arrivals = new Map<string, number>()
  const first = new Map<string, number>()
  const refused = new Map<string, { after: number; retryAfter?: number; message: string }>()
  let next = now
  const end = now + seconds * 1000
  for (; now < end || !toy.core.idle; now += STEP_MS) {
    for (; next <= now && next < end; next += gap()) {
      const id = `${arrivals.size}`
      arrivals.set(id, next)
      toy.submit(
        id,
        [14 + (arrivals.size % 60), 15],
        [],
        { maxTokens: 10, ignoreEos: true },
        { arrival: next, firstTokenMs: target },
      )
    }
    await toy.step()
    for (const [id, came] of arrivals) {
      if (first.has(id) || refused.has(id)) continue
      const last = toy.last(id)
      if (last?.error?.code === 'too_late') refused.set(id, { ...last.error, after: now - came })
      else if (toy.tokens(id).length > 0) first.set(id, now + STEP_MS - came)
    }
  }
  const inTime = [...first.values()].filter((ms) => ms <= 500).length
  return { asked: arrivals.size, served: first.size, inTime, refused: [...refused.values()], toy }
}

t.test('nobody is refused where there is time', async (t) => {
  const { asked, served, refused } = await load(20, 1, 10, 500, 1)
  t.equal(served, asked)
  t.same(refused, [])
})

for (const cv of [1, 4])
  t.test(`at twice what can be served, cv ${cv}, those who are served have their first token in time`, async (t) => {
    const capacity = 40 * 12
    const early = await load(80, cv, 12, 500, 2)
    const none = await load(80, cv, 12, undefined, 2)
    t.comment(
      `with: ${early.inTime} in time of ${early.served} served of ${early.asked}; without: ${none.inTime} of ${none.served}`,
    )
    t.equal(early.served + early.refused.length, early.asked, 'everybody is served or told')
    t.ok(early.inTime >= 0.95 * early.served, `${early.inTime} of ${early.served}`)
    t.ok(early.served >= 0.8 * Math.min(capacity, early.asked), `${early.served} of ${capacity} that could be served`)
    t.ok(early.inTime > 2 * none.inTime, `without it ${none.inTime} are in time`)
    const told = early.refused.map(({ after }) => after).sort((a, b) => a - b)
    t.ok(told[told.length >> 1] <= 50, `the middle one is told after ${told[told.length >> 1]} ms`)
    t.ok(
      told.every((after) => after <= 500 + STEP_MS),
      'none later than its time',
    )
    for (const { retryAfter = 0, message } of early.refused) {
      t.ok(retryAfter >= 1 && retryAfter < 60)
      t.match(message, /first token could be expected [\d.]+ s after it came, and is wanted within 0\.5 s; try again later/)
      break
    }
    const { running, waiting, blocks, counters } = early.toy.core.snapshot()
    t.equal(running + waiting + blocks.sequences, 0)
    t.equal(counters.lateForRoom + counters.lateForTime, early.refused.length)
  })

/** Submits `count` requests now, with prompts of so many tokens that begin apart; steps of STEP_MS until nothing is left. What each waited for its first token, and who was refused after how long. */
async function wave(
  toy: ToyCore,
  time: { now: number },
  name: string,
  { count, prompt, answer, target }: { count: number; prompt: number; answer: number; target?: number },
) {
  const came = time.now
  const ids = Array.from({ length: count }, (_, i) => `${name} ${i}`)
  for (const [i, id] of ids.entries()) {
    const promptIds = Array.from({ length: prompt }, (_, p) => (p === 0 ? i : 3))
    toy.submit(id, promptIds, [], { maxTokens: answer, ignoreEos: true }, { arrival: came, firstTokenMs: target })
  }
  const first: number[] = []
  const refused: number[] = []
  const open = new Set(ids)
  while (!toy.core.idle) {
    await toy.step()
    for (const id of open) {
      const late = toy.last(id)?.error?.code === 'too_late'
      if (!late && toy.tokens(id).length === 0) continue
      open.delete(id)
      if (late) refused.push(time.now - came)
      else first.push(time.now + STEP_MS - came)
    }
    time.now += STEP_MS
  }
  return { first, refused }
}

t.test('a burst is not judged by a crowd that is over', async (t) => {
  const time = { now: 1_000_000 }
  const toy = new ToyCore({ blockCount: 400, maxSequences: 4, clock: () => time.now })
  // Two a second were admitted.
  await wave(toy, time, 'slow', { count: 12, prompt: 2, answer: 200 })
  time.now += 1000
  const { first, refused } = await wave(toy, time, 'burst', { count: 16, prompt: 2, answer: 2, target: 500 })
  t.same(refused, [])
  t.equal(first.length, 16)
  t.ok(Math.max(...first) <= 500)
})

t.test('who waits for the prompts before it is told by how long they are, though there is room for all', async (t) => {
  const time = { now: 1_000_000 }
  const toy = new ToyCore({ blockCount: 4000, maxBatchTokens: 64, prefixCache: false, clock: () => time.now })
  // A step takes 64 tokens in STEP_MS: this takes a second, the next wave half of one.
  await wave(toy, time, 'known', { count: 10, prompt: 640, answer: 1 })
  const { first, refused } = await wave(toy, time, 'wave', { count: 10, prompt: 320, answer: 1, target: 300 })
  t.equal(first.length + refused.length, 10)
  t.ok(first.length >= 5, `${first.length} of the 6 that there was time for are served`)
  t.ok(Math.max(...first) <= 300 + STEP_MS, `the latest first token after ${Math.max(...first)} ms`)
  t.ok(Math.max(...refused) <= 50, `the latest refusal after ${Math.max(...refused)} ms`)
})

t.test('whoever has been admitted is not refused, also where it was put back before its first token', async (t) => {
  const request = { id: 'a', arrival: 1000, promptIds: [1, 2], adapters: [], sampling: greedy(8), firstTokenMs: 50 }
  const sequence = new Sequence(packed(request), 0n, 0)
  const firstTokens = new FirstTokens()
  t.same(firstTokens.late([sequence], 0, 1050), [])
  t.same(firstTokens.late([sequence], 0, 1051), [{ sequence, after: 51, waitsFor: 'time' }])
  sequence.preemptions = 1
  t.same(firstTokens.late([sequence], 0, 1051), [])
})
