/** How a step's tokens are shared, as numbers and as first tokens of the toy engine. */
import t from 'tap'
import { shareOut } from '../../../runtime/scheduler/budget.ts'
import { LEVEL_MS } from '../../../runtime/scheduler/sequence.ts'
import { ToyCore } from '../../support/toy-core.ts'
import { toyTokens } from '../../support/toy-engine.ts'

/** Due in the order of their priorities, as those are that come together; `late` milliseconds later otherwise. */
const wish = (remaining: number, level = 0, late = 0, tokenMs = 0) => ({
  remaining,
  level,
  due: level * LEVEL_MS + late,
  tokenMs,
})
const counting = (length: number, from = 0) => Array.from({ length }, (_, i) => (from + i) % 90)

t.test('shares, by hand', async (t) => {
  const shares = (running: ReturnType<typeof wish>[], waiting: ReturnType<typeof wish>[], budget: number, longest: number) => [
    ...shareOut(running, waiting, { tokens: budget, ms: Number.POSITIVE_INFINITY }, longest),
  ]
  t.same(shares([], [], 8, 4), [])
  t.same(shares([wish(1), wish(1), wish(1)], [], 2, 1), [1, 1, 0], 'who came first is served first when not even decoding fits')
  t.same(shares([wish(800)], [], 8, 4), [4], 'the rest is left over, for want of others')
  t.same(shares([wish(800), wish(1), wish(1)], [], 8, 8), [6, 1, 1], 'nobody who decodes waits')
  t.same(shares([wish(800)], [wish(3)], 8, 4), [4, 3])
  t.same(shares([wish(800)], [wish(3)], 8, 8), [8, 0], 'a threshold as large as the step asks for nothing')
  t.same(shares([wish(800), wish(700), wish(600)], [wish(900), wish(2)], 16, 8), [8, 1, 5, 0, 2], 'the shortest of the others')
  t.same(shares([wish(800)], [wish(700, -1)], 8, 4), [4, 4], 'the better priority has the first half, the other what is left')
  t.same(shares([wish(800)], [wish(700, -1)], 8, 8), [1, 7])
  t.same(
    shares([wish(1), wish(1, 1)], [wish(5), wish(9, 2)], 2, 1),
    [1, 0, 1, 0],
    'it goes before those that decode with a worse one',
  )
  t.same(shares([wish(1)], [wish(5, -1, 2 * LEVEL_MS)], 1, 1), [1, 0], 'but not before those that have been waiting for longer')
  t.same(shares([wish(1, 0, 50)], [wish(5)], 1, 1), [1, 0], 'nor does an equal, however old')
  t.same(shares([wish(9, 1)], [wish(5, -1, 3 * LEVEL_MS)], 8, 4), [4, 4], 'who is due first has the first half')
})

t.test('shares of a step that is bounded in time, by hand', async (t) => {
  const shares = (running: ReturnType<typeof wish>[], waiting: ReturnType<typeof wish>[], ms: number) => [
    ...shareOut(running, waiting, { tokens: 64, ms }, 32),
  ]
  /** A prompt whose tokens take so long each. */
  const prompt = (remaining: number, tokenMs: number) => wish(remaining, 0, 0, tokenMs)
  t.same(shares([wish(1), prompt(90, 1), wish(1)], [], 20), [1, 10, 1], 'half of the time, like half of the tokens')
  t.same(
    shares([prompt(90, 4), prompt(80, 1)], [prompt(3, 1)], 20),
    [2, 9, 3],
    'the shortest, then as many as the others paid for',
  )
  t.same(shares([wish(1), prompt(90, 50), prompt(80, 1)], [], 20), [1, 1, 0], 'one token at the least, though it takes longer')
  t.same(
    shares([wish(1, 1), prompt(90, 4)], [{ ...prompt(5, 1), level: -1, due: -LEVEL_MS }], 20),
    [1, 2, 5],
    'a better priority is begun first',
  )
  t.same(shares([wish(1), prompt(90, 1)], [prompt(3, 1)], 1e6), [1, 32, 3], 'time enough: the tokens decide')
})

t.test('no more is given than there is and than is wanted', async (t) => {
  let state = 7
  const r = (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  const list = () => Array.from({ length: r(6) }, () => wish(1 + r(r(2) ? 2 : 90), r(3))).sort((a, b) => a.level - b.level)
  for (let i = 0; i < 500; i++) {
    const [running, waiting, budget] = [list(), list(), 1 + r(40)]
    const shares = [...shareOut(running, waiting, { tokens: budget, ms: Number.POSITIVE_INFINITY }, 1 + r(40))]
    const all = [...running, ...waiting]
    t.ok(shares.reduce((sum, share) => sum + share, 0) <= budget)
    t.ok(shares.every((share, k) => share >= 0 && share <= all[k].remaining))
    if (budget > all.length)
      t.ok(
        shares.slice(0, running.length).every((share) => share > 0),
        'all that run go on',
      )
  }
})

/** Steps until `id` has its first token. */
async function firstToken(toy: ToyCore, id: string): Promise<number> {
  for (let steps = 1; steps <= 200; steps++) {
    await toy.step()
    if (toy.tokens(id).length > 0) return steps
  }
  throw new Error(`${id} has no token after 200 steps`)
}

for (const priority of [-10, 0])
  t.test(`a prompt of 800 tokens under way lets 3 of priority ${priority} in`, async (t) => {
    const toy = new ToyCore({ blockCount: 400, maxBatchTokens: 8 })
    toy.submit('long', counting(800), [], { maxTokens: 2 })
    await toy.step()
    toy.submit('short', [1, 2, 3], [], {}, { priority })
    t.equal(await firstToken(toy, 'short'), 1)
    await toy.drain()
    t.same(toy.tokens('long'), toyTokens(counting(800), [], 2))
    t.same(toy.tokens('short'), toyTokens([1, 2, 3], [], 8))
  })

t.test('a short request does not wait for several long ones before it, running or waiting', async (t) => {
  const toy = new ToyCore({ blockCount: 2000, maxBatchTokens: 16 })
  for (let i = 0; i < 2; i++) toy.submit(`runs ${i}`, counting(800, i), [], { maxTokens: 2 })
  await toy.step()
  for (let i = 0; i < 3; i++) toy.submit(`waits ${i}`, counting(900, 9 + i), [], { maxTokens: 2 })
  toy.submit('short', [1, 2, 3])
  t.ok((await firstToken(toy, 'short')) <= 3)
  await toy.drain()
  t.same(toy.tokens('waits 2'), toyTokens(counting(900, 11), [], 2))
})

t.test(
  'a long request of a better priority takes the first half of the step from one of a worse that is under way',
  async (t) => {
    const toy = new ToyCore({ blockCount: 2000, maxBatchTokens: 16 })
    toy.submit('worse', counting(1600), [], { maxTokens: 2 }, { priority: 5 })
    await toy.step()
    toy.submit('better', counting(80, 7), [], { maxTokens: 2 }, { priority: 1 })
    t.equal(await firstToken(toy, 'better'), 10)
  },
)

t.test('when more decode than a step can hold, a better priority comes before them', async (t) => {
  const toy = new ToyCore({ blockCount: 200, maxBatchTokens: 4, maxSequences: 8 })
  for (let i = 0; i < 6; i++) toy.submit(`${i}`, [i], [], { maxTokens: 40 })
  for (let i = 0; i < 4; i++) await toy.step()
  toy.submit('urgent', [1, 2, 3], [], { maxTokens: 2 }, { priority: -1 })
  t.ok((await firstToken(toy, 'urgent')) <= 3)
  await toy.drain()
  for (let i = 0; i < 6; i++) t.same(toy.tokens(`${i}`), toyTokens([i], [], 40))
})

t.test('what is kept for one that cannot be admitted is not lost', async (t) => {
  const toy = new ToyCore({ blockCount: 24, maxBatchTokens: 1, maxSequences: 4 })
  toy.submit('runs', counting(40), [], { maxTokens: 4 })
  await toy.step()
  // Of a better priority and without room until the other has ended: the step's one token goes to who runs.
  toy.submit('urgent', counting(60, 3), [], { maxTokens: 2 }, { priority: -1 })
  await toy.drain(150)
  t.same(toy.tokens('runs'), toyTokens(counting(40), [], 4))
  t.same(toy.tokens('urgent'), toyTokens(counting(60, 3), [], 2))
})

t.test('a long prompt alone, or beside those that decode, gets all of the step', async (t) => {
  const toy = new ToyCore({ blockCount: 200, maxBatchTokens: 16, longPrefillTokens: 2 })
  toy.submit('long', counting(160), [], { maxTokens: 1 })
  t.equal(await firstToken(toy, 'long'), 10)
  toy.submit('decodes', [1], [], { maxTokens: 40 })
  await toy.step()
  toy.submit('beside', counting(150, 5), [], { maxTokens: 1 })
  t.equal(await firstToken(toy, 'beside'), 10)
})
