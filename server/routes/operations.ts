/** What operators and gateways ask for: health, version, load, metrics. They need no key. */
import type { FastifyInstance } from 'fastify'
import { seenBy } from '../adapter-choice.ts'
import { ApiError } from '../errors.ts'
import type { Serving } from '../types.ts'
import { VERSION } from '../version.ts'

const tags = ['operations']
const config = { open: true }

export function operationRoutes(app: FastifyInstance, serving: Serving): void {
  const { engine } = serving
  const health = async () => {
    const reason = serving.unhealthy()
    if (reason !== undefined) throw new ApiError('engine_unavailable', reason)
    return ''
  }
  app.get(
    '/health',
    { config, schema: { tags, summary: '200 while the engine works, 503 after it failed or while it hangs' } },
    health,
  )
  app.get('/ping', { config, schema: { tags, summary: 'The same, for SageMaker' } }, health)
  app.post('/ping', { config, schema: { tags, summary: 'The same, for SageMaker' } }, health)
  app.get('/version', { config, schema: { tags, summary: 'The version of this server' } }, async () => ({ version: VERSION }))
  app.get('/load', { config, schema: { tags, summary: 'Sequences that run or wait' } }, async () => ({
    server_load: engine.snapshot.running + engine.snapshot.waiting,
  }))
  app.get('/', { schema: { hide: true } }, async ({ caller }) => ({
    name: 'lorikeet',
    version: VERSION,
    model: serving.model.name,
    adapters: seenBy(caller, serving)
      .adapters.list()
      .filter(({ refusal }) => refusal === undefined).length,
    docs: '/docs',
  }))
}

export function metricsRoute(app: FastifyInstance, serving: Serving): void {
  const schema = { tags, summary: 'Prometheus metrics; the names of adapters are on the page of who may see them' }
  app.get('/metrics', { config, schema }, async (request, reply) => {
    const names = serving.access.seesNames(request)
    reply.type(serving.metrics.contentType)
    return serving.metrics.render(names)
  })
}
