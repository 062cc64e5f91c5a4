/** What a request passes before any route: its Host, other pages' origins, its key, its rate. */
import type { Server, Socket } from 'node:net'
import cors from '@fastify/cors'
import rateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { ADAPTER_HEADER, DIGEST_HEADER } from '../adapter-choice.ts'
import { ApiError, limitReached } from '../errors.ts'
import type { Access } from './access.ts'
import { type Caller, KeyHolder } from './caller.ts'

declare module 'fastify' {
  interface FastifyRequest {
    caller: Caller
  }
  interface FastifyContextConfig {
    /** Needs no key and counts for no rate: what load balancers, gateways and a page's own files are. */
    open?: boolean
  }
}

const isOpen = ({ routeOptions }: FastifyRequest) => routeOptions.config?.open === true

/** Counts one more by a request's rate, for what comes without a request of its own. Rejects with ApiError when it is too much. */
export type CountOne = (request: FastifyRequest) => Promise<void>

export async function gate(app: FastifyInstance, access: Access): Promise<CountOne> {
  const { knowsHost, corsOrigins } = access
  if (knowsHost)
    app.addHook('onRequest', async ({ headers }) => {
      if (!knowsHost(headers.host))
        throw new ApiError(
          'host_not_allowed',
          `this server is not called ${JSON.stringify((headers.host ?? '').slice(0, 256))}; call it localhost, or start it with --allowed-hosts`,
          'host',
        )
    })
  if (corsOrigins.length > 0)
    await app.register(cors, {
      origin: corsOrigins.includes('*') ? '*' : [...corsOrigins],
      methods: ['GET', 'HEAD', 'POST', 'DELETE'],
      exposedHeaders: ['x-request-id', 'retry-after', ADAPTER_HEADER, DIGEST_HEADER],
      maxAge: 600,
    })
  app.decorateRequest('caller')
  app.addHook('onRequest', async (request) => {
    request.caller = access.callerOf(request)
  })
  const countOne = access.rateLimit === undefined ? async () => {} : await limitRate(app, access.rateLimit)
  demandKey(app, access)
  return countOne
}

/** Lets no caller to the routes of `app` who is a stranger, but to open ones. */
export function demandKey(app: FastifyInstance, access: Access): void {
  if (!access.keys) return
  app.addHook('onRequest', async (request, reply) => {
    if (!access.isStranger(request.caller) || isOpen(request)) return
    reply.header('www-authenticate', 'Bearer')
    const brought = request.headers.authorization !== undefined || request.headers['x-api-key'] !== undefined
    throw new ApiError(
      'invalid_api_key',
      brought
        ? 'the API key is not one of this server; send `Authorization: Bearer KEY` or `x-api-key: KEY`'
        : 'you did not provide an API key; send it as `Authorization: Bearer KEY` or `x-api-key: KEY`',
    )
  })
}

async function limitRate(app: FastifyInstance, max: number): Promise<CountOne> {
  const tooMany = (ttl: number) =>
    limitReached(
      { of: 'server', name: 'rate-limit', value: max },
      `more than ${max} requests a minute came (--rate-limit)`,
      Math.ceil(ttl / 1000),
    )
  await app.register(rateLimit, {
    global: false,
    max,
    timeWindow: 60_000,
    cache: 10_000,
    keyGenerator: ({ caller, ip }) => (caller instanceof KeyHolder ? caller.sha256 : ip),
    errorResponseBuilder: (_request, { ttl }) => tooMany(ttl),
  })
  const limited = app.rateLimit()
  app.addHook('onRequest', async (request, reply) => {
    if (!isOpen(request)) await limited.call(app, request, reply)
  })
  const count = app.createRateLimit()
  return async (request) => {
    const counted = await count(request)
    if (!counted.isAllowed && counted.isExceeded) throw tooMany(counted.ttl)
  }
}

/** Ends connections of an address that has `most` already. */
export function limitPerAddress(server: Server, most: number): void {
  const open = new Map<string, number>()
  server.on('connection', (socket: Socket) => {
    const { remoteAddress: address } = socket
    const count = address === undefined ? 0 : (open.get(address) ?? 0)
    if (address === undefined || count >= most) return socket.destroy()
    open.set(address, count + 1)
    socket.once('close', () => {
      const left = (open.get(address) ?? 1) - 1
      if (left > 0) open.set(address, left)
      else open.delete(address)
    })
  })
}
