/** What one client's large texts, templates and stop strings cost the others: a bounded time, whoever they are from. */
import { once } from 'node:events'
import net from 'node:net'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { configOf } from '../../server/config/config.ts'
import { ModelChatTemplate } from '../../server/tokenizer/chat-template.ts'
import { fakeServing, type Submitted } from '../support/fake-serving.ts'
import { request } from '../support/http.ts'
import { seeded } from '../support/pace.ts'
import { promptsOf } from '../support/prompts.ts'
import { demoModel } from '../support/repo.ts'

const limits = configOf({ 'body-limit': 32 << 20, 'max-concurrent-requests': 64 })
const messages = [{ role: 'user', content: 'hi' }]
const ENDLESS = '{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}x'
const honest = JSON.stringify({ messages, chat_template: '{{ messages[0].content }}', max_tokens: 1 })
const ended = (one: Submitted) => void setImmediate(() => one.send({ tokens: [533], cachedTokens: 0, finish: 'length' }))

function words(units: number, seed: number): string {
  const random = seeded(seed)
  let text = ''
  while (text.length < units) text += ` ${random.pick(['fox', 'ball', 'und', 'é', '漢'])}${random.below(1e6)}`
  return text.slice(0, units)
}

/** Milliseconds: the longest gap of the event loop while `work` went on, and how long that took. */
async function gapOf(work: () => Promise<unknown>): Promise<{ gap: number; took: number }> {
  const delay = monitorEventLoopDelay({ resolution: 1 })
  const began = performance.now()
  delay.enable()
  await work()
  delay.disable()
  return { gap: delay.max / 1e6, took: performance.now() - began }
}

t.test('prompts of half a megabyte from four clients at once', async (t) => {
  const prompts = promptsOf(demoModel('base'), undefined, { processes: 2 })
  t.teardown(() => prompts.close())
  const fake = await fakeServing(t, ended, { limits, prompts })
  await request(`${fake.url}/tokenize`, { body: JSON.stringify({ prompt: words(5000, 9) }) })
  const bodies = [1, 2, 3, 4].map((seed) => JSON.stringify({ prompt: words(1 << 19, seed), max_tokens: 1 }))
  const { gap, took } = await gapOf(() =>
    Promise.all(bodies.map(async (body) => t.equal((await request(`${fake.url}/v1/completions`, { body })).status, 200))),
  )
  // On the main thread each stood in the way for 0.3 s and more, one after the other.
  t.ok(gap < took / 4, `the longest gap was ${gap} ms of ${took}`)
  for (const { request } of fake.submitted) t.ok(request.promptIds.length > 100_000)
})

t.test('many prompts in one request, each short', async (t) => {
  const fake = await fakeServing(t, ended, { limits })
  await request(`${fake.url}/tokenize`, { body: JSON.stringify({ prompt: words(5000, 9) }) })
  const prompt = Array.from({ length: 300 }, (_, i) => words(2700, i))
  const body = JSON.stringify({ prompt, max_tokens: 1, truncate_prompt_tokens: 3 })
  const { gap, took } = await gapOf(async () => {
    const answer = await request(`${fake.url}/v1/completions`, { body })
    t.match(answer, { status: 200, json: { usage: { prompt_tokens: 900 } } })
  })
  t.ok(gap < took / 4, `the longest gap was ${gap} ms of ${took}`)
})

t.test('template jobs of clients that left are dropped, and no place is held for them', async (t) => {
  const fake = await fakeServing(t, ended, { limits: { ...limits, maxConcurrentRequests: 4 } })
  const body = JSON.stringify({ messages, chat_template: ENDLESS, max_tokens: 1 })
  const { hostname, port } = new URL(fake.url)
  for (let i = 0; i < 20; i++) {
    const socket = net.connect(Number(port), hostname)
    await once(socket, 'connect')
    socket.write(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    )
    await sleep(20)
    socket.destroy()
  }
  await sleep(50)
  const began = performance.now()
  const answer = await request(`${fake.url}/v1/chat/completions`, { body: honest })
  t.equal(answer.status, 200)
  t.ok(performance.now() - began < 10_000, `served after ${performance.now() - began} ms instead of 20 s`)
})

t.test('who waits for a template counts in the limit of requests; so does who tokenizes', async (t) => {
  const fake = await fakeServing(t, ended, { limits: { ...limits, maxConcurrentRequests: 2 } })
  const body = JSON.stringify({ messages, chat_template: ENDLESS })
  const waiting = [1, 2].map(() => request(`${fake.url}/tokenize`, { body }))
  await sleep(300)
  const more = await request(`${fake.url}/v1/chat/completions`, { body: honest })
  t.match(more, { status: 429, json: { error: { code: 'too_many_requests' } } })
  for (const one of await Promise.all(waiting))
    t.match(one, { status: 400, json: { error: { code: 'chat_template_failed', param: 'messages', message: /1000 ms/ } } })
  t.equal((await request(`${fake.url}/v1/chat/completions`, { body: honest })).status, 200)
})

t.test("a model's own template that fills the memory is 400 for who asks for a chat; the others are served", async (t) => {
  const prompts = promptsOf(demoModel('base'), new ModelChatTemplate('{{ range(1000000000) | length }}', {}))
  t.teardown(() => prompts.close())
  prompts.warm()
  const fake = await fakeServing(t, ended, { limits, prompts })
  const asked = request(`${fake.url}/v1/chat/completions`, { body: JSON.stringify({ messages, max_tokens: 1 }) })
  const { gap } = await gapOf(async () => {
    t.match(await asked, { status: 400, json: { error: { code: 'chat_template_failed' } } })
  })
  t.ok(gap < 500, `the longest gap was ${gap} ms`)
  t.equal((await request(`${fake.url}/v1/completions`, { body: JSON.stringify({ prompt: 'a', max_tokens: 1 }) })).status, 200)
})

t.test('the most stop strings that a request may bring, all nearly matched, in 16 choices', async (t) => {
  const stop = [...Array(63).fill(`${'a'.repeat(511)}b${'a'.repeat(511)}`), `${'a'.repeat(1023)}c`]
  const answer = await request((await fakeServing(t, ended)).url.concat('/tokenize'), {
    body: JSON.stringify({ prompt: 'a', add_special_tokens: false }),
  })
  const [letter] = answer.json.tokens
  const fake = await fakeServing(t, (one) => {
    const token = (left: number) =>
      setImmediate(() => {
        one.send({ tokens: [letter], ...(left === 1 && { finish: 'length' as const }) })
        if (left > 1) token(left - 1)
      })
    token(1000)
  })
  const body = JSON.stringify({ prompt: 'a', n: 16, max_tokens: 1000, stop })
  const { gap, took } = await gapOf(async () => {
    const { status, json } = await request(`${fake.url}/v1/completions`, { body })
    t.equal(status, 200)
    t.ok(json.choices.every((choice: { text: string }) => choice.text.length === 1000))
  })
  t.ok(took < 10_000, `${took} ms, where looking for each string took 33 s`)
  t.ok(gap < 500, `the longest gap was ${gap} ms`)
})
