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
  const ready = async () => {
    await health()
    serving.readiness.require()
    return ''
  }
  const lives = { answer: plain('It works; the body is empty'), refusals: ['engine_unavailable', 'server_loading'] } as const
  const refusals = ['engine_unavailable', 'server_loading', 'server_draining', 'pinned_adapters_missing'] as const
  const sageMaker = 'The same, for SageMaker'
  app.get(
    '/health',
    {
      config,
      schema: {
        tags,
        summary:
          '200 while the engine works, while the server drains too; 503 before the base is loaded, after it failed or while it hangs',
        api: { id: 'getHealth', ...lives },
      },
    },
    health,
  )
  app.get(
    '/ready',
    {
      config,
      schema: {
        tags,
        summary: '200 while requests should be sent here, else 503 with the reason',
        description:
          'Not while the base loads, pinned adapters are missing, or the server drains (`/health` is 200 then), nor after the engine failed or while it hangs.',
        api: { id: 'getReadiness', answer: plain('It is ready; the body is empty'), refusals },
      },
    },
    ready,
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
