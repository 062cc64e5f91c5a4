/** The HTTP server: what a request passes first, and the routes. */
import type { FastifyInstance } from 'fastify'
import { demandKey, gate, limitPerAddress } from './access/gate.ts'
import { limitReached } from './errors.ts'
import { type Certificate, newApp } from './http.ts'
import { chatRoutes } from './openai/chat.ts'
import { completionRoutes } from './openai/completions.ts'
import { describeApi, docsPage } from './openapi.ts'
import { pooledRoutes } from './pooling/index.ts'
import { adapterRoutes } from './routes/adapters.ts'
import { utilityRoutes } from './routes/index.ts'
import { metricsRoute, operationRoutes } from './routes/operations.ts'
import { tokenRoutes } from './routes/tokens.ts'
import type { Serving } from './types.ts'
import { uiRoutes } from './ui/routes.ts'

export interface AppOptions {
  certificate?: Certificate
  /** Metrics, the API's page and the management of adapters are on a port of their own (buildAdminApp). */
  adminApart?: boolean
  /** Operators have a page to look at. */
  ui?: boolean
}

export async function buildApp(
  serving: Serving,
  { certificate, adminApart = false, ui = false }: AppOptions = {},
): Promise<FastifyInstance> {
  const { access, limits, log } = serving
  const app = newApp(log, limits, certificate, (limit) => serving.metrics.refused(limit))
  if (access.maxConnectionsPerAddress !== undefined) limitPerAddress(app.server, access.maxConnectionsPerAddress)
  await gate(app, access)
  await describeApi(app, access.keys !== undefined)
  if (!adminApart) await docsPage(app)
  await app.register(async (generation) => {
    limitConcurrency(generation, limits.maxConcurrentRequests)
    completionRoutes(generation, serving)
    chatRoutes(generation, serving)
    tokenRoutes(generation, serving)
    pooledRoutes(generation, serving)
  })
  await app.register(utilityRoutes(serving))
  if (!adminApart) {
    metricsRoute(app, serving)
    adapterRoutes(app, serving.management)
    if (ui) await uiRoutes(app, serving, access, true)
  }
  return app
}

/** What operators look at, for a port that others do not reach: no key is asked for but by what changes adapters. `app`: the one whose API is described, ready; `host`: where it will listen. */
export async function buildAdminApp(
  whole: Serving,
  app: FastifyInstance,
  host: string,
  { certificate, ui = false }: Omit<AppOptions, 'adminApart'> = {},
): Promise<FastifyInstance> {
  const serving = { ...whole, access: whole.access.ofOperators(host) }
  const admin = newApp(serving.log, serving.limits, certificate)
  await gate(admin, serving.access)
  await docsPage(admin, app)
  operationRoutes(admin, serving)
  metricsRoute(admin, serving)
  await admin.register(async (adapters) => {
    // Who reaches the port may look at what it shows; what changes adapters asks for a key here too.
    adapters.addHook('onRequest', async (request) => {
      request.caller = whole.access.callerOf(request)
    })
    demandKey(adapters, whole.access)
    adapterRoutes(adapters, serving.management)
  })
  if (ui) await uiRoutes(admin, serving, whole.access, false)
  return admin
}

/**
 * At most `limit` requests that generate or tokenize at a time; one more is told to come again, before its body is read if it can be. A request counts once its body is there:
 * as many connections as the limit that never sent theirs held every place. What its key may have in flight is counted with it.
 */
function limitConcurrency(app: FastifyInstance, limit: number): void {
  let inFlight = 0
  const refuseOneMore = () => {
    if (inFlight >= limit)
      throw limitReached(
        { of: 'server', name: 'max-concurrent-requests', value: limit },
        `the server has ${limit} requests in flight already (--max-concurrent-requests); try again in a second`,
      )
  }
  app.addHook('onRequest', async () => refuseOneMore())
  app.addHook('preHandler', async ({ caller }, reply) => {
    // Who left already says so no more.
    if (reply.raw.destroyed) return reply.hijack()
    refuseOneMore()
    const leave = caller.quota.enter()
    inFlight++
    // 'close' comes exactly once, also for streams and for clients that went away.
    reply.raw.once('close', () => {
      inFlight--
      leave()
    })
  })
}
