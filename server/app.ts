/** The HTTP server: limits, errors in one shape, and the routes. */
import Fastify, { type FastifyInstance, type FastifyReply, LogController } from 'fastify'
import { clientErrorHandler } from './client-errors.ts'
import { ApiError, toApiError } from './errors.ts'
import { chatRoutes } from './openai/chat.ts'
import { completionRoutes } from './openai/completions.ts'
import { keepSeeds } from './openai/seed.ts'
import { registerDocs } from './openapi.ts'
import { utilityRoutes } from './routes/index.ts'
import { tokenRoutes } from './routes/tokens.ts'
import { ClientLeft } from './tokenizer/process-pool.ts'
import type { Serving } from './types.ts'

/** Seconds after which a client that was turned away may try again. */
const RETRY_AFTER = 1

export async function buildApp(serving: Serving): Promise<FastifyInstance> {
  const { bodyLimit, requestTimeout } = serving.limits
  const app = Fastify({
    loggerInstance: serving.log,
    bodyLimit,
    // Fastify's default is none. Node looks at its connections every 30 s by itself.
    requestTimeout: requestTimeout * 1000,
    http: { headersTimeout: requestTimeout * 1000, connectionsCheckingInterval: Math.min(30, requestTimeout / 2) * 1000 },
    clientErrorHandler: clientErrorHandler(requestTimeout),
    requestIdHeader: 'x-request-id',
    logController: new LogController({ disableRequestLogging: true }),
    // Draining: what is under way is answered, and load balancers still find the server.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    // A path that no router can read (`/v1/models/%E0%A4%A`) meets no handler of ours.
    frameworkErrors(error, _request, reply) {
      const known = toApiError(error, bodyLimit)
      // Typed by the route's schema, of which there is none here.
      const untyped = reply as unknown as FastifyReply
      untyped.code(known.status).send(known.body())
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
  })
  app.setErrorHandler((error, request, reply) => {
    if (error instanceof ClientLeft) return reply.hijack()
    const known = toApiError(error, bodyLimit)
    if (known.status >= 500) request.log.error({ err: error }, 'a request failed')
    if (known.code === 'too_many_requests') reply.header('retry-after', RETRY_AFTER)
    return reply.code(known.status).send(known.body())
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
    throw new ApiError('route_not_found', `there is no ${request.method} ${path}; see /docs`)
  })
  app.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id)
  })
  app.addHook('onResponse', async (request, reply) => {
    request.log.debug({ method: request.method, url: request.url, status: reply.statusCode, ms: reply.elapsedTime }, 'answered')
  })
  await registerDocs(app)
  await app.register(async (generation) => {
    keepSeeds(generation)
    limitConcurrency(generation, serving.limits.maxConcurrentRequests)
    completionRoutes(generation, serving)
    chatRoutes(generation, serving)
    tokenRoutes(generation, serving)
  })
  await app.register(utilityRoutes(serving))
  return app
}

/**
 * At most `limit` requests that generate or tokenize at a time; one more is told to come again, before its body is read if it can be. A request counts once its body is there:
 * as many connections as the limit that never sent theirs held every place.
 */
function limitConcurrency(app: FastifyInstance, limit: number): void {
  let inFlight = 0
  const refuseOneMore = () => {
    if (inFlight >= limit)
      throw new ApiError('too_many_requests', `the server has ${limit} requests in flight already; try again in ${RETRY_AFTER} s`)
  }
  app.addHook('onRequest', async () => refuseOneMore())
  app.addHook('preHandler', async (_request, reply) => {
    // Who left already says so no more.
    if (reply.raw.destroyed) return reply.hijack()
    refuseOneMore()
    inFlight++
    // 'close' comes exactly once, also for streams and for clients that went away.
    reply.raw.once('close', () => inFlight--)
  })
}
