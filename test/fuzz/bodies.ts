/**
 * Requests of every kind to a whole server: bodies from its own OpenAPI document, and bytes that are no such request. What a client caused is never a 5xx, every
 * error has OpenAI's shape, /health stays green; afterwards the pool's accounting is exact and a control request's answer is what it was.
 */
import { ApiDocument } from '../support/api-document.ts'
import { demoModel } from '../support/repo.ts'
import { startServed } from '../support/served.ts'
import { changedBytes, jsonBytes, oddText } from './odd.ts'
import { bodyOf, type Route, routesOf } from './openapi.ts'
import { exchange, type Response } from './raw-http.ts'
import { Fault, type Random, run } from './trial.ts'

/** Milliseconds after which we are the client that leaves. */
const LEAVES_AFTER = 400

const AT_ONCE = 8

const closing: (() => Promise<void>)[] = []
// Small, so that requests push each other's blocks out.
const served = await startServed(
  { teardown: (handler) => closing.push(handler) },
  { model: demoModel('base'), adapters: demoModel('adapters'), pool: '6MiB', 'request-timeout': 5, 'body-limit': '1MiB' },
)
const port = Number(new URL(served.url).port)
const routes = routesOf(await ApiDocument.of(served.url))
const posts = routes.filter((route) => route.schema)
const names = ['base', ...served.serving.adapters.list().map(({ name }) => name)]

const CONTROLS = [
  { path: '/v1/completions', body: { model: 'pirate', prompt: 'Once there was a', max_tokens: 24, temperature: 0, logprobs: 2 } },
  {
    path: '/v1/chat/completions',
    body: { model: 'json', messages: [{ role: 'user', content: 'Tell me a story.' }], max_tokens: 24, temperature: 0 },
  },
]
/** The answers without what tells two apart. */
const control = async () =>
  JSON.stringify(
    await Promise.all(CONTROLS.map(async ({ path, body }) => ({ ...(await served.post(path, body)).body, id: '', created: 0 }))),
  )
const right = await control()

const HEADERS = [
  ...[
    'Expect: 100-continue',
    'Expect: nothing',
    'Connection: upgrade\r\nUpgrade: websocket',
    'Content-Encoding: gzip',
    'Accept: text/html',
  ],
  ...[
    'Transfer-Encoding: gzip',
    'Transfer-Encoding: chunked, chunked',
    'Content-Length: 5\r\nContent-Length: 6',
    'Content-Length: -1',
    'Content-Length: 1e3',
  ],
  ...[
    'Content-Type: text/plain',
    'Content-Type: application/json; charset=utf-16',
    'Content-Type: application/json;',
    'Content-Type: ',
    'Content-Type: application/JSON',
  ],
  ...[
    'Host: ',
    'Host: evil.example',
    'Host: a\r\nHost: b',
    'Cookie: a=b',
    ': nameless',
    'No colon',
    ' folded: x',
    'X-A: \u0000',
    'X-A: ü',
    'X-Request-Id: a\tb',
  ],
  ...[
    'X-Request-Id: ü"\\',
    'Keep-Alive: timeout=99999999',
    'Range: bytes=0-',
    'If-None-Match: *',
    'Origin: null',
    'X-HTTP-Method-Override: DELETE',
    'Accept-Version: 99',
  ],
]
const ADAPTERS = [
  'pirate',
  'pirate;w=0.5, json;w=-2',
  'pirate;w=1e400',
  '"',
  'no-such',
  '?1',
  'pirate, pirate',
  '%ff',
  'pirate;w=999999999999.999',
  '("a")',
  'pirate;x=1',
  ':AA==:',
]
const METHODS = [
  'GET',
  'POST',
  'PUT',
  'DELETE',
  'PATCH',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'CONNECT',
  'PROPFIND',
  'NOSUCH',
  'get',
  'PRI',
  '',
]

function pathOf(random: Random, route: Route): string {
  const path = route.path.replace(/\{.*\}/, () => encodeURIComponent(random.pick(names)))
  switch (random.below(14)) {
    case 0:
      return `${path}/`
    case 1:
      return `/${path}`
    case 2:
      return `${path}?${random.pick(['a=1', '%', '__proto__[x]=1', 'x'.repeat(9000)])}`
    case 3:
      return random.pick([
        '/v1/models/%E0%A4%A',
        '/v1/models/..%2f..%2fetc',
        '/docs/../../etc/passwd',
        '/docs/static/%2e%2e/%2e%2e/package.json',
        '*',
        'http://x/health',
        '/\u0000',
        '/%00',
        '//',
        '/docs/static/nosuch',
        'health',
      ])
    case 4:
      return path.toUpperCase()
    default:
      return path
  }
}

/** The request's bytes, in pieces, perhaps of more than one. */
function requestBytes(random: Random): { pieces: Buffer[]; half: boolean } {
  const route = random.pick(random.below(6) ? posts : routes)
  const body = route.schema
    ? jsonBytes(random, bodyOf(random, route.schema, route.examples))
    : Buffer.from(random.below(3) ? '' : oddText(random))
  const odd = random.below(3) === 0
  const method = odd && random.below(4) === 0 ? random.pick(METHODS) : route.method
  const lines = [
    `${method} ${odd ? pathOf(random, route) : route.path.replace(/\{.*\}/, 'pirate')} HTTP/${odd && random.below(12) === 0 ? random.pick(['1.0', '2.0', '0.9', '1.1.1']) : '1.1'}`,
  ]
  const header = odd ? random.pick([...HEADERS, undefined]) : undefined
  if (!header?.startsWith('Host') && (!odd || random.below(20) > 0)) lines.push(`Host: 127.0.0.1:${port}`)
  if (!header?.startsWith('Content-Type') && body.length > 0) lines.push('Content-Type: application/json')
  if (random.below(6) === 0)
    lines.push(`X-Lora-Adapter: ${random.below(8) ? random.pick(ADAPTERS) : oddText(random).replace(/[\r\n]/g, '')}`)
  if (header !== undefined) lines.push(header)
  const chunked = random.below(6) === 0
  if (chunked) lines.push('Transfer-Encoding: chunked')
  else if (!header?.startsWith('Content-Length'))
    lines.push(`Content-Length: ${odd && random.below(6) === 0 ? body.length + random.pick([-1, 1, 1000]) : body.length}`)
  if (random.below(8)) lines.push('Connection: close')
  let whole: Buffer = Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`), chunked ? chunks(random, body, odd) : body])
  if (odd && random.below(10) === 0) whole = changedBytes(random, whole)
  if (random.below(25) === 0) whole = Buffer.concat([whole, whole, random.below(2) ? whole : Buffer.from('\r\n\r\ngarbage')])
  const pieces: Buffer[] = []
  for (let at = 0; at < whole.length; ) {
    const length = random.below(4) ? whole.length : 1 + random.below(whole.length)
    pieces.push(whole.subarray(at, at + length))
    at += length
  }
  return { pieces, half: random.below(6) === 0 }
}

function chunks(random: Random, body: Buffer, odd: boolean): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < body.length; ) {
    const length = 1 + random.below(body.length)
    const chunk = body.subarray(at, at + length)
    parts.push(
      Buffer.from(
        `${odd && random.below(10) === 0 ? random.pick(['zz', '-1', 'ffffffffffffffff', '']) : chunk.length.toString(16)}\r\n`,
      ),
      chunk,
      Buffer.from('\r\n'),
    )
    at += length
  }
  return Buffer.concat([...parts, Buffer.from(random.below(10) ? '0\r\n\r\n' : '0\r\nTrailer: x\r\n\r\n')])
}

/** Statuses of ours that are no fault: what cannot be served now says so. */
const SERVERS_OWN = [503]

function judge({ status, headers, body }: Response, head: boolean, shown: string): void {
  const fault = (what: string) => new Fault(`${what}: ${status} ${JSON.stringify(body.slice(0, 300))} to ${shown}`)
  if (status >= 500 && !SERVERS_OWN.includes(status)) throw fault('a client caused a 5xx')
  if (status < 400 || head) return
  if (!headers.get('content-type')?.startsWith('application/json')) throw fault(`an error of type ${headers.get('content-type')}`)
  let error: Record<string, unknown>
  try {
    error = openAiError(JSON.parse(body))
  } catch {
    throw fault('an error that is no JSON')
  }
  const shaped =
    typeof error.message === 'string' && typeof error.type === 'string' && typeof error.code === 'string' && 'param' in error
  if (!shaped || Object.keys(error).length !== 4) throw fault('an error in no shape that is known')
  if ((error.message as string).length > 3000) throw fault(`a message of ${(error.message as string).length} characters`)
}

async function ask(random: Random): Promise<string> {
  const { pieces, half } = requestBytes(random)
  const whole = Buffer.concat(pieces)
  const shown = JSON.stringify(whole.toString('latin1').slice(0, 400))
  const head = whole.subarray(0, 5).toString() === 'HEAD '
  const { responses, rest, ended } = await exchange(port, pieces, LEAVES_AFTER, half, head)
  // Who could not be read is told with a body, HEAD or not.
  if (rest !== '' && !head) throw new Fault(`bytes that are no HTTP: ${JSON.stringify(rest.slice(0, 200))} to ${shown}`)
  for (const response of responses) judge(response, head, shown)
  if (responses.length === 0) return ended === 'closed' ? 'closed without a word' : 'left by us'
  return responses[0].status < 400 ? 'accepted' : `${responses[0].status}`
}

/** Several at a time, so that they meet in the queue and in the pool. */
async function attempt(random: Random): Promise<string> {
  const [ending] = await Promise.all(Array.from({ length: AT_ONCE }, () => ask(random)))
  const { status } = await fetch(`${served.url}/health`)
  if (status !== 200) throw new Fault(`/health: ${status}`)
  return ending
}

async function end(): Promise<void> {
  const complaints = await served.idleComplaints()
  if (complaints.length > 0) throw new Fault(`the pool: ${complaints.join(', ')}`)
  const now = await control()
  if (now !== right) throw new Fault(`the control group's answers are others:\n${right}\n${now}`)
  const { failedSteps } = served.serving.engine.snapshot.counters
  if (failedSteps > 0) throw new Fault(`${failedSteps} steps failed`)
  for (const close of closing) await close()
}

await run({ name: 'bodies', attempt, expected: ['accepted', '400', '404', '405', '415'], end })

/** What an error says in OpenAI's shape; Anthropic's and TGI's tell less. */
function openAiError(json: { error?: unknown; error_type?: unknown; type?: unknown }): Record<string, unknown> {
  const { error, error_type: type } = json
  if (typeof error === 'string') return { message: error, type, code: '', param: null }
  const said = (error ?? {}) as Record<string, unknown>
  return json.type === 'error' ? { ...said, code: '', param: null } : said
}
