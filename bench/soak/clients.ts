/** Clients of every kind, good and bad. Each function is one client's whole life. */
import { type ClientRequest, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { malformedRequests } from '../../test/support/malformed.ts'
import type { seeded } from '../../test/support/pace.ts'
import { demoModel, readJsonLines } from '../../test/support/repo.ts'

export type Random = ReturnType<typeof seeded>

export interface Ask {
  path: string
  body?: object
  headers?: Record<string, string>
}

export interface Got {
  status: number
  text: string
  /** False when the connection ended before the answer did. */
  whole: boolean
}

export const STYLES = ['base', 'pirate', 'spanish', 'json', 'shout', 'rhyme', 'headline', 'robot', 'quiz', 'emoji']
export const PROMPTS = readJsonLines<{ messages: { role: string; content: string }[] }>(demoModel('prompts.jsonl')).slice(0, 20)

/** One request on a connection of its own. Rejects when there is no answer. */
export function send(url: string, { path, body, headers }: Ask, sent: (client: ClientRequest) => void = () => {}): Promise<Got> {
  return new Promise((resolve, reject) => {
    const method = body === undefined ? 'GET' : 'POST'
    const type = body === undefined ? undefined : { 'content-type': 'application/json' }
    const client = request(`${url}${path}`, { method, agent: false, headers: { ...type, ...headers } })
    client.on('error', reject)
    client.on('response', (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (data: string) => {
        text += data
      })
      response.on('error', () => {})
      response.on('close', () => resolve({ status: response.statusCode ?? 0, text, whole: response.complete }))
    })
    client.on('finish', () => sent(client))
    client.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

/** Requests that any client might send, of all routes and options. */
export function politeAsk(random: Random): Ask {
  const model = random.pick(STYLES)
  const { messages } = random.pick(PROMPTS)
  const common = {
    model,
    max_tokens: 1 + random.below(80),
    temperature: random.pick([0, 0.7, 1]),
    ...(random.below(3) ? {} : { seed: random.below(100), n: 1 + random.below(3) }),
    ...(random.below(3) ? {} : { stop: random.pick(['.', ['the', ' and'], ['\n\n', 'fox']]) }),
    ...(random.below(4) ? {} : { logit_bias: { [random.below(1500)]: random.pick([-100, 5]) } }),
    ...(random.below(5) ? {} : { ignore_eos: true, min_tokens: 1, repetition_penalty: 1.1 }),
    stream: random.below(2) === 1,
  }
  const mixed = random.below(4) === 0
  const headers: Record<string, string> = mixed ? { 'x-lora-adapter': 'pirate;w=0.6, json;w=0.5, emoji;w=-0.2' } : {}
  switch (random.below(12)) {
    case 0:
      return { path: '/v1/models' }
    case 1:
      return { path: random.pick(['/metrics', '/health', '/load', '/version', '/v1/models/pirate', '/docs/json']) }
    case 2:
      return { path: '/tokenize', body: { model, prompt: 'A fox and a bird. '.repeat(random.pick([1, 10, 600])) } }
    case 3:
      return {
        path: '/detokenize',
        body: { model, tokens: Array.from({ length: 1 + random.below(500) }, () => random.below(1500)) },
      }
    case 4:
      return { path: '/tokenize', body: { messages, return_token_strs: true } }
    case 5:
    case 6:
    case 7: {
      const prompt = random.pick<unknown>(['Once there was a', ['One day', 'The cat'], [5, 90, 700]])
      const scored = random.below(3) ? {} : { logprobs: random.below(6), echo: random.below(2) === 1 }
      return { path: '/v1/completions', headers, body: { ...common, prompt, ...scored } }
    }
    default: {
      const scored = random.below(3) ? {} : { logprobs: true, top_logprobs: random.below(6) }
      const own = random.below(12) ? {} : { chat_template: "{% for m in messages %}{{ m['content'] }}\n{% endfor %}" }
      return { path: '/v1/chat/completions', headers, body: { ...common, messages, ...scored, ...own } }
    }
  }
}

/** What is wrong with an answer to a request that was right; undefined: nothing. */
export function complaint({ path, body }: Ask, { status, text, whole }: Got): string | undefined {
  const told = (what: string) =>
    `${path} ${what}: ${status} ${JSON.stringify(text.slice(-300))} to ${JSON.stringify(body)?.slice(0, 300)}`
  if (status !== 200) return told('was not served')
  if (!whole) return told('was cut')
  if ((body as { stream?: boolean } | undefined)?.stream && !text.endsWith('data: [DONE]\n\n')) return told('has no end')
  return undefined
}

const LONG = { model: 'pirate', prompt: 'Once there was a', max_tokens: 700, ignore_eos: true }

function raw(url: string): { socket: Socket; head(path: string, bytes: number, more?: string): string } {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  // Whoever hangs up first: both are fine.
  socket.on('error', () => {})
  const head = (path: string, bytes: number, more = '') =>
    `POST ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nContent-Type: application/json\r\nContent-Length: ${bytes}\r\n${more}\r\n`
  return { socket, head }
}

/** Asks for much and never reads it. */
export async function neverReads(url: string, random: Random): Promise<void> {
  const { socket, head } = raw(url)
  const stream = random.below(2) === 1
  const text = JSON.stringify({ ...LONG, stream, n: 1 + random.below(3), logprobs: random.pick([0, 20]) })
  socket.pause()
  socket.write(head('/v1/completions', text.length) + text)
  await sleep(500 + random.below(6000))
  if (random.below(2)) socket.resetAndDestroy()
  else socket.destroy()
}

/** Begins requests and does not go on with them, some for longer than the server waits. */
export async function halfSends(url: string, random: Random): Promise<void> {
  const sockets = Array.from({ length: 8 }, () => {
    const { socket, head } = raw(url)
    const text = JSON.stringify(LONG)
    const whole = head('/v1/completions', text.length) + text
    socket.write(whole.slice(0, random.below(whole.length)))
    socket.resume()
    return socket
  })
  await sleep(random.pick([50, 1000, 7000]))
  for (const socket of sockets) socket.destroy()
}

/** Many requests at once on one connection, which is reset while they are served. */
export async function pipelines(url: string, random: Random): Promise<void> {
  const { socket, head } = raw(url)
  const text = JSON.stringify({ ...LONG, max_tokens: 200, stream: random.below(2) === 1 })
  socket.resume()
  for (let i = 2 + random.below(30); i > 0; i--) socket.write(head('/v1/completions', text.length) + text)
  await sleep(random.below(1500))
  socket.resetAndDestroy()
}

/** A request that is wrong in some way; what is wrong with its answer. */
export async function hostile(url: string, random: Random): Promise<string | undefined> {
  const [{ what, path, headers, body, surely }] = malformedRequests(1, random)
  const response = await fetch(`${url}${path}`, { method: 'POST', headers: { ...headers, connection: 'close' }, body })
  const text = await response.text()
  if (response.status === 200) return surely ? `${what} was accepted` : undefined
  let error: { message?: unknown; type?: unknown } | undefined
  try {
    error = JSON.parse(text).error
  } catch {
    return `${what}: ${response.status} ${text.slice(0, 200)}`
  }
  const shaped = typeof error?.message === 'string' && typeof error.type === 'string' && 'param' in error && 'code' in error
  return response.status >= 500 || !shaped ? `${what}: ${response.status} ${text.slice(0, 200)}` : undefined
}
