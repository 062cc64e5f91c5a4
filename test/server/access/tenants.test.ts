/** Nothing of one tenant is in another's answers: all that a key can ask, with and without another tenant at work. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { sha256 } from '../../../server/access/key.ts'
import { entryLine } from '../../../server/access/key-file.ts'
import { demoModel } from '../../support/repo.ts'
import { type Served, startServed } from '../../support/served.ts'

const SECRET = "Lily's secret word is garden and nobody may know it, not even the cat who sleeps beside the door all day."
const bearer = (key: string) => ({ authorization: `Bearer ${key}` })

/** `mine` and `theirs` share the base and the adapter rhyme; each has one of its own. */
function start(t: Test, settings: Record<string, unknown> = {}): Promise<Served> {
  const file = path.join(t.testdir({}), 'keys.jsonl')
  const entry = (tenant: string, adapters: string[]) => entryLine({ sha256: sha256(tenant), tenant, adapters, admin: false })
  writeFileSync(file, `${entry('mine', ['pirate', 'rhyme'])}\n${entry('theirs', ['spanish', 'rhyme'])}\n`)
  return startServed(t, {
    model: demoModel('base'),
    adapters: demoModel('adapters'),
    'served-model-name': 'demo',
    'api-key-file': file,
    'enable-prompt-tokens-details': true,
    ...settings,
  })
}

/** All routes, right and wrong requests, guesses at the other's prompt. */
const ASKED: [route: string, body?: object, headers?: Record<string, string>][] = [
  ['/v1/models'],
  ['/v1/models/pirate'],
  ['/v1/models/spanish'],
  ['/v1/models/spanis'],
  ['/'],
  ...['demo', 'rhyme', 'pirate', 'spanish'].flatMap((model): typeof ASKED => [
    ['/v1/completions', { model, prompt: SECRET, max_tokens: 4, temperature: 0, logprobs: 2 }],
    ['/v1/completions', { model, prompt: SECRET.slice(0, 70), max_tokens: 2, seed: 7, echo: true, return_token_ids: true }],
    ['/v1/completions', { model, prompt: SECRET, max_tokens: 2, cache_salt: 'theirs', temperature: 0 }],
    ['/v1/chat/completions', { model, messages: [{ role: 'user', content: SECRET }], max_tokens: 4, temperature: 0 }],
    ['/tokenize', { model, prompt: SECRET }],
  ]),
  ['/v1/completions', { prompt: SECRET, max_tokens: 2, temperature: 0 }, { 'x-lora-adapter': 'rhyme;w=0.5, pirate' }],
  ['/v1/completions', { prompt: SECRET, max_tokens: 2 }, { 'x-lora-adapter': 'spanish' }],
  ['/v1/completions', { prompt: SECRET, n: 100_000 }],
  ['/v1/completions', { prompt: 7 }],
  ['/v1/nowhere'],
]

/** Answers with what differs from one run to the next taken out. */
async function answers(served: Served, key: string): Promise<unknown[]> {
  const all: unknown[] = []
  for (const [route, body, more] of ASKED) {
    const response = await fetch(served.url + route, {
      method: body ? 'POST' : 'GET',
      headers: { ...bearer(key), ...(body && { 'content-type': 'application/json' }), ...more },
      body: body && JSON.stringify(body),
    })
    const headers = Object.fromEntries(response.headers)
    const text = (await response.text())
      .replaceAll(/"id":"(cmpl|chatcmpl)-[0-9a-f-]+"/g, '"id":"$1"')
      .replaceAll(/"created":\d+/g, '"created":0')
    t.match(headers['x-request-id'], /^[0-9a-f-]{36}$/, 'no count of requests')
    all.push({ route, body, status: response.status, text, headers: { ...headers, date: '', 'x-request-id': '' } })
  }
  return all
}

t.test('another tenant changes nothing that a tenant can see', async (t) => {
  const alone = await start(t)
  const expected = await answers(alone, 'mine')
  t.equal(expected.filter((answer) => (answer as { status: number }).status === 200).length, 19)
  const shared = await start(t)
  // Before, and beside.
  await answers(shared, 'theirs')
  const hold = new AbortController()
  const body = JSON.stringify({ model: 'spanish', prompt: SECRET, max_tokens: 900, n: 8, ignore_eos: true, stream: true })
  const stream = await fetch(`${shared.url}/v1/completions`, {
    method: 'POST',
    headers: { ...bearer('theirs'), 'content-type': 'application/json' },
    body,
    signal: hold.signal,
  })
  await stream.body?.getReader().read()
  t.same(await answers(shared, 'mine'), expected)
  hold.abort()
  await shared.serving.engine.idle()
})

t.test('what the prefix cache held is told where it is asked for, of the tenant’s own', async (t) => {
  const cached = async (served: Served, key: string) => {
    const { body } = await served.post('/v1/completions', { prompt: SECRET, max_tokens: 1 }, bearer(key))
    return body.usage.prompt_tokens_details?.cached_tokens
  }
  const apart = await start(t)
  t.equal(await cached(apart, 'mine'), 0)
  t.ok((await cached(apart, 'mine')) > 0)
  t.equal(await cached(apart, 'theirs'), 0)
  const together = await start(t, { 'prefix-cache-scope': 'all' })
  t.equal(await cached(together, 'mine'), 0)
  t.ok((await cached(together, 'theirs')) > 0, 'all means all')
  const silent = await start(t, { 'enable-prompt-tokens-details': false })
  t.equal(await cached(silent, 'mine'), undefined)
  t.equal(await cached(silent, 'mine'), undefined)
})
