/** What operators and gateways ask for: health, version, load, metrics. They need no key. */
import type { FastifyInstance } from 'fastify'
import { seenBy } from '../adapter-choice.ts'
import { ApiError } from '../errors.ts'
import { plain } from '../openapi/describe.ts'
import type { Serving } from '../types.ts'
import { VERSION } from '../version.ts'
import { LOAD_ANSWER, SERVER_ANSWER, VERSION_ANSWER } from './answer-schemas.ts'

const tags = ['operations']
const config = { open: true }

export function operationRoutes(app: FastifyInstance, serving: Serving): void {
  const { engine } = serving
  const health = async () => {
    const reason = serving.unhealthy()
    if (reason !== undefined) throw new ApiError('engine_unavailable', reason)
    return ''
  }
  const lives = { answer: plain('It works; the body is empty'), refusals: ['engine_unavailable'] } as const
  const sageMaker = 'The same, for SageMaker'
  app.get(
    '/health',
    {
      config,
      schema: {
        tags,
        summary: '200 while the engine works, 503 after it failed or while it hangs',
        api: { id: 'getHealth', ...lives },
      },
    },
    health,
  )
  app.get('/ping', { config, schema: { tags, summary: sageMaker, api: { id: 'ping', ...lives } } }, health)
  app.post('/ping', { config, schema: { tags, summary: sageMaker, api: { id: 'postPing', ...lives } } }, health)
  app.get(
    '/version',
    { config, schema: { tags, summary: 'The version of this server', api: { id: 'getVersion', answer: VERSION_ANSWER } } },
    async () => ({ version: VERSION }),
  )
  app.get(
    '/load',
    { config, schema: { tags, summary: 'Sequences that run or wait', api: { id: 'getLoad', answer: LOAD_ANSWER } } },
    async () => ({ server_load: engine.snapshot.running + engine.snapshot.waiting }),
  )
  app.get(
    '/',
    { schema: { tags, summary: 'What this is', api: { id: 'getServer', answer: SERVER_ANSWER } } },
    async ({ caller }) => ({
      name: 'lorikeet',
      version: VERSION,
      model: serving.model.name,
      adapters: seenBy(caller, serving)
        .adapters.list()
        .filter(({ refusal }) => refusal === undefined).length,
      docs: '/docs',
    }),
  )
}

export function metricsRoute(app: FastifyInstance, serving: Serving): void {
  const schema = {
    tags,
    summary: 'Prometheus metrics; the names of adapters are on the page of who may see them',
    api: {
      id: 'getMetrics',
      answer: plain("Prometheus' text format"),
      ...(serving.access.guardsMetrics && { refusals: ['invalid_api_key'] as const }),
    },
  }
  app.get('/metrics', { config, schema }, async (request, reply) => {
    const names = serving.access.seesNames(request)
    reply.type(serving.metrics.contentType)
    return serving.metrics.render(names)
  })
}
