/** What operators and gateways ask for: health, version, load, metrics. */
import type { FastifyInstance } from 'fastify'
import { ApiError } from '../errors.ts'
import type { Serving } from '../types.ts'
import { VERSION } from '../version.ts'

const tags = ['operations']

export function operationRoutes(app: FastifyInstance, serving: Serving): void {
  const { engine } = serving
  const health = async () => {
    const reason = serving.unhealthy()
    if (reason !== undefined) throw new ApiError('engine_unavailable', reason)
    return ''
  }
  app.get('/health', { schema: { tags, summary: '200 while the engine works, 503 after it failed or while it hangs' } }, health)
  app.get('/ping', { schema: { tags, summary: 'The same, for SageMaker' } }, health)
  app.post('/ping', { schema: { tags, summary: 'The same, for SageMaker' } }, health)
  app.get('/version', { schema: { tags, summary: 'The version of this server' } }, async () => ({ version: VERSION }))
  app.get('/load', { schema: { tags, summary: 'Sequences that run or wait' } }, async () => ({
    server_load: engine.snapshot.running + engine.snapshot.waiting,
  }))
  app.get('/metrics', { schema: { tags, summary: 'Prometheus metrics' } }, async (_request, reply) => {
    reply.type(serving.metrics.contentType)
    return serving.metrics.render()
  })
  app.get('/', { schema: { hide: true } }, async () => ({
    name: 'lorikeet',
    version: VERSION,
    model: serving.model.name,
    adapters: serving.adapters.list().filter((record) => record.image).length,
    docs: '/docs',
  }))
}
