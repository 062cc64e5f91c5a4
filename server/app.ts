/** The HTTP server: what a request passes first, and the routes. */
import type { FastifyInstance } from 'fastify'
import { demandKey, gate, limitPerAddress } from './access/gate.ts'
import { messageRoutes } from './anthropic/routes.ts'
import { type Certificate, newApp } from './http.ts'
import type { KvEvents } from './kv-events/publisher.ts'
import { chatRoutes, chatTurns } from './openai/chat.ts'
import { completionRoutes, completionTurns } from './openai/completions.ts'
import { describeApi, docsPage } from './openapi/document.ts'
import { Places } from './places.ts'
import { pooledRoutes } from './pooling/index.ts'
import { recorded, recordRequests } from './records/http.ts'
import { responsesOf } from './responses/create.ts'
import { responseRoutes, storedResponseRoutes } from './responses/routes.ts'
import { responseSockets } from './responses/socket-route.ts'
import { adapterRoutes } from './routes/adapters.ts'
import { cachedBlocksRoute } from './routes/cached-blocks.ts'
import { utilityRoutes } from './routes/index.ts'
import { invocationRoute } from './routes/invocations.ts'
import { metricsRoute, operationRoutes } from './routes/operations.ts'
import { tokenRoutes } from './routes/tokens.ts'
import { generateRoutes } from './tgi/routes.ts'
import type { Serving } from './types.ts'
import { uiRoutes } from './ui/routes.ts'

export interface AppOptions {
  certificate?: Certificate
  /** Metrics, the API's page and the management of adapters are on a port of their own (buildAdminApp). */
  adminApart?: boolean
  /** Operators have a page to look at. */
  ui?: boolean
  /** Where they are told. */
  kvEvents?: KvEvents
}

export async function buildApp(
  serving: Serving,
  { certificate, adminApart = false, ui = false, kvEvents }: AppOptions = {},
): Promise<FastifyInstance> {
  const { access, limits, log, readiness, records } = serving
  const app = newApp(log, limits, certificate, (limit) => serving.metrics.refused(limit))
  recordRequests(app, records)
  if (access.maxConnectionsPerAddress !== undefined) limitPerAddress(app.server, access.maxConnectionsPerAddress)
  const countOne = await gate(app, access)
  // Whoever asks again opens a connection, which a load balancer leads elsewhere.
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (readiness.draining) reply.header('connection', 'close')
    done()
  })
  await describeApi(app, serving)
  if (!adminApart) await docsPage(app)
  const places = new Places(limits.maxConcurrentRequests)
  const turns = chatTurns(serving)
  const responses = responsesOf(serving, turns)
  await app.register(async (generation) => {
    recorded(generation)
    generation.addHook('onRequest', async () => readiness.refuseWhileDraining())
    limitConcurrency(generation, places)
    const completions = completionTurns(serving)
    const complete = completionRoutes(generation, completions)
    const chat = chatRoutes(generation, turns)
    invocationRoute(generation, [
      { field: 'messages', schema: turns.schema, handler: chat },
      { field: 'prompt', schema: completions.schema, handler: complete },
    ])
    tokenRoutes(generation, serving)
    pooledRoutes(generation, serving)
    responseRoutes(generation, responses, places)
    messageRoutes(generation, serving, turns)
    generateRoutes(generation, serving, completions)
  })
  storedResponseRoutes(app, responses)
  await responseSockets(app, { responses, access, places, countOne, readiness, mostStreams: limits.maxWebsocketStreams })
  await app.register(utilityRoutes(serving))
  if (!adminApart) {
    metricsRoute(app, serving)
    adapterRoutes(app, serving.management)
    if (kvEvents) cachedBlocksRoute(app, kvEvents, serving)
    if (ui) await uiRoutes(app, serving, access, true)
  }
  return app
}

/** What operators look at, for a port that others do not reach: no key is asked for but by what changes adapters. `app`: the one whose API is described, ready; `host`: where it will listen. */
export async function buildAdminApp(
  whole: Serving,
  app: FastifyInstance,
  host: string,
  { certificate, ui = false, kvEvents }: Omit<AppOptions, 'adminApart'> = {},
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
    if (kvEvents) cachedBlocksRoute(adapters, kvEvents, serving)
  })
  if (ui) await uiRoutes(admin, serving, whole.access, false)
  return admin
}

/**
 * At most so many requests that generate or tokenize at a time; one more is told to come again, before its body is read if it can be. A request counts once its body is there:
 * as many connections as the limit that never sent theirs held every place. What its key may have in flight is counted with it.
 */
function limitConcurrency(app: FastifyInstance, places: Places): void {
  app.addHook('onRequest', async () => places.refuseOneMore())
  app.addHook('preHandler', async ({ caller }, reply) => {
    // Who left already says so no more.
    if (reply.raw.destroyed) return reply.hijack()
    // 'close' comes exactly once, also for streams and for clients that went away.
    reply.raw.once('close', places.take(caller))
  })
}
