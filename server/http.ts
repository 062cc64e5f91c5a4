/** A Fastify of this house: its limits, and every error in one shape. Routes are whoever's that asks for it. */
import { isUtf8 } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import Fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type FastifyServerOptions,
  LogController,
} from 'fastify'
import { checkBodyWork } from './body-work.ts'
import { answerRaw, clientErrorHandler } from './client-errors.ts'
import { errorBody } from './error-shapes.ts'
import { ApiError, type Limit, toApiError } from './errors.ts'
import { keepText } from './exact-json.ts'
import { handleInTurn } from './in-turn.ts'
import { nearest } from './nearest.ts'
import { keepSeed } from './openai/seed.ts'
import { ClientLeft } from './tokenizer/process-pool.ts'
import type { Limits } from './types.ts'
import { Incoming, leavesHttp } from './upgrades.ts'

/** PEM texts. */
export interface Certificate {
  cert: string
  key: string
}

/** `refused` is told of each limit that a request was refused for. */
export function newApp(
  log: FastifyServerOptions['loggerInstance'],
  limits: Limits,
  certificate?: Certificate,
  refused: (limit: Limit) => void = () => {},
): FastifyInstance {
  const { bodyLimit, requestTimeout, idleTimeout } = limits
  // Node looks at its connections every 30 s by itself.
  // Without a host Node itself would answer, with no body.
  const http = {
    IncomingMessage: Incoming,
    requireHostHeader: false,
    headersTimeout: requestTimeout * 1000,
    connectionsCheckingInterval: Math.min(30, requestTimeout / 2) * 1000,
  }
  const app = Fastify({
    ...(certificate ? { https: { ...http, ...certificate } } : { http }),
    loggerInstance: log,
    bodyLimit,
    // Fastify's default is none.
    requestTimeout: requestTimeout * 1000,
    keepAliveTimeout: idleTimeout * 1000,
    clientErrorHandler: clientErrorHandler(requestTimeout),
    requestIdHeader: 'x-request-id',
    // A counter would tell how many others came.
    genReqId: () => randomUUID(),
    logController: new LogController({ disableRequestLogging: true }),
    // Draining: what is under way is answered, and load balancers still find the server.
    return503OnClosing: false,
    rewriteUrl: ({ url = '/' }) => withoutSlash(url),
    forceCloseConnections: 'idle',
    // A path that no router can read (`/v1/models/%E0%A4%A`) meets no handler of ours.
    frameworkErrors(error, request, reply) {
      const known = toApiError(error, bodyLimit)
      // Typed by the route's schema, of which there is none here.
      const untyped = reply as unknown as FastifyReply
      untyped.code(known.status).send(errorBody(known, request.raw.url))
    },
    // A string is no number: what a client sent wrongly is told, not guessed.
    ajv: {
      customOptions: {
        coerceTypes: false,
        removeAdditional: false,
        useDefaults: false,
        allowUnionTypes: true,
        allErrors: false,
        strict: false,
      },
    },
  } as FastifyServerOptions) as FastifyInstance
  handleInTurn(app.server)
  readJson(app)
  tellErrors(app, bodyLimit, refused)
  app.addHook('onRequest', async (request, reply) => {
    // Everything that a request holds goes back when its answer closes; Node takes more than ten listeners for a leak.
    reply.raw.setMaxListeners(MOST_LISTENERS)
    reply.header('x-request-id', request.id)
    if (leavesHttp(request.raw)) reply.header('connection', 'close')
    if (request.headers.host === undefined && request.raw.httpVersion === '1.1')
      throw new ApiError('invalid_request', 'the header host is missing (RFC 9112, section 3.2)', 'host')
  })
  app.addHook('onResponse', async (request, reply) => {
    // An upgrade that was refused: nothing reads requests from its connection any more, though the client may think so.
    if (leavesHttp(request.raw)) request.raw.socket.destroySoon()
    request.log.debug({ method: request.method, url: request.url, status: reply.statusCode, ms: reply.elapsedTime }, 'answered')
  })
  return app
}

/** Pages whose links are relative to their folder. */
const PAGES = /^\/(ui|docs)(\/|$)/

/** A path that ends with a slash is the one without: base URLs are joined carelessly. */
function withoutSlash(url: string): string {
  const end = url.search(/[?#]|$/)
  if (url[0] !== '/' || url[end - 1] !== '/' || end === 1 || PAGES.test(url)) return url
  return url.slice(0, end - 1) + url.slice(end)
}

/** Of an answer's close. */
const MOST_LISTENERS = 50

/** Bytes that cost little whatever they are. */
const SMALL = 1 << 16

/** Reads bodies that are UTF-8 and JSON. Fastify's own parser would read any bytes, some of them as U+FFFD. */
export function readJson(app: FastifyInstance): void {
  app.removeContentTypeParser(['application/json', 'text/plain'])
  app.addContentTypeParser<Buffer>(
    'application/json',
    { parseAs: 'buffer' },
    async ({ routeOptions }: FastifyRequest, bytes: Buffer) => {
      // As many clients send it where nothing is to be sent, with a type and nothing of it.
      const { body } = (routeOptions.schema ?? {}) as { body?: unknown }
      if (bytes.length === 0 && body === undefined) return undefined
      if (bytes.length === 0 && mayBeNull(body)) return null
      return bodyOf(bytes)
    },
  )
}

/** Of a schema of a body: whether there may be none. */
function mayBeNull(schema: unknown): boolean {
  const { type, anyOf } = schema as { type?: string; anyOf?: { type?: string }[] }
  return type === 'null' || (anyOf ?? []).some((one) => one.type === 'null')
}

/** What a body holds. Rejects with ApiError for what is no JSON in UTF-8, or would keep others waiting. */
export async function bodyOf(bytes: Buffer): Promise<unknown> {
  if (bytes.length <= SMALL) return parsed(bytes)
  await checkBodyWork(bytes)
  return afterOthers(() => parsed(bytes))
}

/** The large body that is read last, with a turn for all others behind it. */
let last: Promise<unknown> = Promise.resolve()

/** Large bodies that have come together are read one a turn of the event loop: four of 15 MB in one held everybody up for 300 ms. */
function afterOthers<T>(read: () => T): Promise<T> {
  const mine = last.then(read)
  const pause = () => new Promise<void>((resolve) => setImmediate(resolve))
  last = mine.then(pause, pause)
  return mine
}

function parsed(bytes: Buffer): unknown {
  if (!isUtf8(bytes)) throw new ApiError('invalid_json', 'the body is not valid UTF-8')
  const text = bytes.toString()
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch (error) {
    throw new ApiError('invalid_json', `the body is not valid JSON: ${text === '' ? 'it is empty' : (error as Error).message}`)
  }
  if (typeof body === 'object' && body !== null) {
    if (SUSPECT.test(text)) refusePrototypes(body)
    keepSeed(text, body as Record<string, unknown>)
    // TGI's and LoRAX's stands one further down.
    const { parameters } = body as { parameters?: unknown }
    if (typeof parameters === 'object') keepSeed(text, parameters as Record<string, unknown> | null)
    keepText(text, body)
  }
  return body
}

/** What a key that could change a prototype holds, spelt out or escaped. */
const SUSPECT = /__proto__|constructor|\\u00/

/** Refuses keys that would change what objects inherit, were they ever copied carelessly. */
function refusePrototypes(value: object): void {
  if (Array.isArray(value)) {
    for (const item of value) if (typeof item === 'object' && item !== null) refusePrototypes(item)
    return
  }
  const held = Object.getOwnPropertyDescriptor(value, 'constructor')?.value
  if (Object.hasOwn(value, '__proto__') || (typeof held === 'object' && held !== null && Object.hasOwn(held, 'prototype')))
    throw new ApiError('invalid_json', 'the JSON body has a key __proto__ or constructor.prototype, which is not taken')
  for (const item of Object.values(value)) if (typeof item === 'object' && item !== null) refusePrototypes(item)
}

/** "; did you mean …?" with the route that was most likely meant: base URLs lack their `/v1`, paths have slips. Empty where none is near. `routes`: those that the API document has, as `POST /v1/completions`. */
function meant(method: string, path: string, routes: ReadonlySet<string>): string {
  const versioned = `${method} /v1${path}`
  const [near] = routes.has(versioned) ? [versioned] : nearest(`${method} ${path}`, [...routes].sort(), 1)
  return near === undefined ? '' : `; did you mean ${near}?`
}

function tellErrors(app: FastifyInstance, bodyLimit: number, refused: (limit: Limit) => void): void {
  const routes = new Set<string>()
  app.addHook('onRoute', ({ method, url, schema }) => {
    if (schema?.hide || url.includes(':') || url.includes('*')) return
    for (const one of [method].flat()) if (one === 'GET' || one === 'POST') routes.add(`${one} ${url}`)
  })
  app.setErrorHandler((error, request, reply) => {
    if (error instanceof ClientLeft) return reply.hijack()
    const known = toApiError(error, bodyLimit)
    request.record?.fail(known)
    if (known.status >= 500) request.log.error({ err: error }, 'a request failed')
    if (known.status === 429 || known.status === 503) reply.header('retry-after', known.retryAfter)
    if (known.limit) refused(known.limit)
    return reply.code(known.status).send(errorBody(known, request.raw.url))
  })
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?')[0]
    const others = (['GET', 'POST', 'DELETE'] as const).filter(
      (method) => method !== request.method && app.hasRoute({ method, url: path }),
    )
    if (others.length > 0) {
      reply.header('allow', others.join(', '))
      throw new ApiError('method_not_allowed', `${request.method} is not allowed on ${path}; use ${others.join(' or ')}`)
    }
    throw new ApiError(
      'route_not_found',
      `there is no ${request.method} ${path}; see /docs${meant(request.method, path, routes)}`,
    )
  })
  // What Node would answer by itself, with no body.
  app.server.on('checkExpectation', ({ socket, headers }, response) => {
    const { expect } = headers
    answerRaw(
      socket,
      new ApiError('expectation_failed', `expect can only be 100-continue, not ${JSON.stringify(expect)}`, 'expect'),
      response,
    )
  })
  app.server.on('connect', (_request, socket) => {
    answerRaw(socket, new ApiError('method_not_allowed', 'CONNECT is not allowed: this server is no proxy'))
  })
}
