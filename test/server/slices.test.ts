import { monitorEventLoopDelay } from 'node:perf_hooks'
import t from 'tap'
import { decodeInSlices, jsonInSlices } from '../../server/slices.ts'
import { ModelTokenizer } from '../../server/tokenizer/tokenizer.ts'
import { seeded } from '../support/pace.ts'
import { demoModel } from '../support/repo.ts'

const tokenizer = ModelTokenizer.load(demoModel('base'))
const numbers = (n: number) => Array.from({ length: n }, (_, i) => i / 7)
const entries = (n: number) =>
  Array.from({ length: n }, (_, i) => ({ token: `é"${i}`, top: numbers(3), none: undefined, also: null }))

t.test('JSON in slices is what JSON.stringify writes', async (t) => {
  for (const value of [
    {},
    [],
    'a"\u2028\ud800',
    null,
    4,
    { a: undefined, b: [undefined, null, Number.NaN], c: { d: true } },
    [[], [[]], {}],
    { choices: [{ text: 'x', logprobs: { content: entries(3000) } }], prompt_logprobs: [null, ...entries(100)] },
    { tokens: numbers(10_000), mixed: [...numbers(5000), 'a', { b: 1 }] },
    entries(64),
    entries(65),
  ])
    t.equal((await jsonInSlices(value)).toString(), JSON.stringify(value))
  t.equal((await jsonInSlices({ ids: Int32Array.of(1, 2) })).toString(), '{"ids":[1,2]}')
  t.equal((await jsonInSlices({ ids: new Int32Array(5000) })).toString(), JSON.stringify({ ids: Array(5000).fill(0) }))
})

t.test('tokens decode in slices as at once, characters across them too', async (t) => {
  const random = seeded(5)
  const ids = Array.from({ length: 20_000 }, () => random.below(1500))
  for (const skipSpecialTokens of [true, false]) {
    const whole = tokenizer.decode(ids, { skipSpecialTokens })
    t.equal(await decodeInSlices(tokenizer, ids, { skipSpecialTokens }), whole)
    t.equal(await decodeInSlices(tokenizer, Int32Array.from(ids), { skipSpecialTokens }), whole)
  }
})

t.test('a large answer keeps nobody waiting while it is written', async (t) => {
  const answer = { choices: [{ logprobs: { content: entries(200_000) } }] }
  const delay = monitorEventLoopDelay({ resolution: 1 })
  const began = performance.now()
  delay.enable()
  const { length } = await jsonInSlices(answer)
  delay.disable()
  const took = performance.now() - began
  t.ok(length > 10_000_000)
  t.ok(delay.max / 1e6 < took / 2, `the longest gap was ${delay.max / 1e6} ms of ${took}`)
})
