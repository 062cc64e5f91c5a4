/** One request cannot fill the memory or the queue (kinds 09 and 11 of the trial): it is refused before it runs, and beside what may run others are served. */
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { configOf } from '../../../server/config/config.ts'
import { CostAccount } from '../../../server/cost.ts'
import { fakeServing } from '../../support/fake-serving.ts'
import { startServed } from '../../support/served.ts'

const prompt = [1, ...Array.from({ length: 1000 }, () => 5)]

t.test('a request that may cost too much is refused: field, setting and value are named, and nothing has run', async (t) => {
  const served = await startServed(t, {})
  const messages = [{ role: 'user', content: 'hi' }]
  const completions = '/v1/completions'
  const chat = '/v1/chat/completions'
  for (const [path, body, param, message] of [
    [
      completions,
      { prompt: Array(32).fill(prompt), n: 128, max_tokens: 1, prompt_logprobs: 20 },
      'n',
      /4096 sequences.* 512 at most \(--max-request-sequences\)/,
    ],
    [completions, { prompt: Array(2048).fill('a'), n: 2, max_tokens: 100 }, 'n', /4096 sequences/],
    [completions, { prompt: Array(2048).fill('a') }, 'prompt', /2048 sequences/],
    [
      completions,
      { prompt: Array(32).fill(prompt), n: 16, max_tokens: 1, prompt_logprobs: 20 },
      'prompt_logprobs',
      /10762752 logprobs .* 8388608 at most \(--max-request-logprobs\)/,
    ],
    [
      completions,
      { prompt: Array(32).fill(prompt), n: 16, max_tokens: 1, echo: true, logprobs: 20 },
      'logprobs',
      /10773504 logprobs/,
    ],
  ] as const) {
    const answer = await served.post(path, body)
    t.match(answer, { status: 400, body: { error: { code: 'invalid_request', param, message } } })
  }
  const small = await startServed(t, { 'max-request-logprobs': 100, 'max-request-tokens': 60 })
  t.match(await small.post(chat, { messages, logprobs: true, top_logprobs: 20, max_tokens: 6 }), {
    status: 400,
    body: { error: { param: 'top_logprobs', message: /126 logprobs/ } },
  })
  t.match(await small.post(chat, { messages }), {
    status: 400,
    body: { error: { param: 'max_tokens', message: /--max-request-tokens/ } },
  })
  t.equal((await small.post(chat, { messages, logprobs: true, top_logprobs: 20, max_tokens: 4 })).status, 200)
  t.equal(served.serving.engine.snapshot.counters.promptTokens, 0)
})

t.test('what is in flight leaves room or not: 429 with retry-after, until it ends, however it ends', async (t) => {
  const cost = new CostAccount({ ...configOf({}), maxSequencesInFlight: 400 })
  const fake = await fakeServing(t, () => {}, { cost })
  const ask = (n: number, signal?: AbortSignal) => {
    const headers = { 'content-type': 'application/json' }
    return fetch(`${fake.url}/v1/completions`, { method: 'POST', headers, body: JSON.stringify({ prompt: 'a', n }), signal })
  }
  const until = async (done: () => boolean) => {
    while (!done()) await setTimeout(10)
  }
  const leaving = new AbortController()
  const first = ask(128, leaving.signal).catch((error: Error) => error)
  const others = [ask(128), ask(128)]
  await until(() => fake.submitted.length === 384)
  const refused = await ask(17)
  t.match(await refused.json(), {
    error: {
      code: 'too_many_requests',
      message: /less than the 17 sequences.* all together are given 400 .--max-sequences-in-flight/,
    },
  })
  t.equal(refused.status, 429)
  t.equal(refused.headers.get('retry-after'), '1')
  others.push(ask(16))
  await until(() => fake.submitted.length === 400)
  t.equal((await ask(1)).status, 429, 'nothing is left')
  leaving.abort()
  await first
  await until(() => fake.aborted.length === 128)
  others.push(ask(128))
  await until(() => fake.submitted.length === 528)
  for (const one of fake.submitted) one.send({ tokens: [533], finish: 'length' })
  for (const other of others) t.equal((await other).status, 200)
})
