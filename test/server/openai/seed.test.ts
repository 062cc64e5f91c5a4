/** Seeds of 64 bits: none is rounded, and no two choices share one. */
import Fastify from 'fastify'
import t from 'tap'
import { readJson } from '../../../server/http.ts'
import { seedOf, seedOfChoice } from '../../../server/openai/seed.ts'

/** What the seed of a body is read as, or the error's message. */
async function read(text: string): Promise<string> {
  const app = Fastify()
  readJson(app)
  let seed = ''
  app.post('/', async ({ body }) => {
    try {
      seed = String(seedOf(body as Record<string, unknown>))
    } catch (error) {
      seed = (error as Error).message
    }
    return ''
  })
  const answer = await app.inject({ method: 'POST', url: '/', headers: { 'content-type': 'application/json' }, payload: text })
  return answer.statusCode === 200 ? seed : `${answer.statusCode}`
}

t.test('every digit counts', async (t) => {
  const { MAX_SAFE_INTEGER } = Number
  for (const seed of ['0', '-7', `${MAX_SAFE_INTEGER}`, '9007199254740992', '9007199254740993', '-9007199254740993'])
    t.equal(await read(`{"seed":${seed}}`), seed)
  for (const seed of ['9223372036854775806', '9223372036854775807', '-9223372036854775807', '-9223372036854775808'])
    t.equal(await read(`{"prompt":"a", "seed" :\n ${seed}}`), seed)
  t.equal(await read('{"seed":null}'), 'undefined')
  t.equal(await read('{}'), 'undefined')
})

t.test('more than 64 bits, or no digits, are refused with what would be right', async (t) => {
  for (const seed of [
    '9223372036854775808',
    '-9223372036854775809',
    '1e400',
    '1e18',
    '18446744073709551616',
    '9007199254740993.0',
  ])
    t.equal(
      await read(`{"seed":${seed}}`),
      'seed must be an integer from -9223372036854775808 to 9223372036854775807, written in digits',
      seed,
    )
})

t.test('seeds in texts and further down are others', async (t) => {
  const big = '9007199254740993'
  t.equal(await read(`{"prompt":"\\"seed\\": 9007199254740992","seed":${big}}`), big)
  t.equal(await read(`{"metadata":{"seed":5},"seed":${big}}`), big)
  t.equal(await read(`{"metadata":{"seed":${big}},"seed":5}`), '5')
  t.equal(await read(`{"metadata":{"seed":${big}},"seed":${big}}`), big)
  t.match(await read(`{"metadata":{"seed":9007199254740992},"seed":${big}}`), /written in digits/, 'no telling which is which')
  t.equal(await read(`{"seed":1,"seed":${big}}`), big, 'of two, JSON takes the last')
})

t.test('what is no JSON is refused as before', async (t) => {
  for (const body of ['{"seed":', '{"__proto__":{}}']) t.equal(await read(body), '400')
  for (const body of ['null', '3', '[]', '"seed"']) t.notOk((await read(body)).startsWith('5'), body)
})

t.test('choices: the first is the seed, the others differ, also from those of the neighbours', async (t) => {
  t.equal(seedOfChoice(7n, 0), 7n)
  const seeds = [0n, 1n, 7n, 8n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, -(2n ** 63n), -1n]
  const all = seeds.flatMap((seed) => Array.from({ length: 128 }, (_, i) => BigInt.asUintN(64, seedOfChoice(seed, i))))
  t.equal(new Set(all).size, seeds.length * 128)
  t.same(seedOfChoice(7n, 3), seedOfChoice(7n, 3))
})
