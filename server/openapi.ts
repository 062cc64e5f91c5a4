/** The API document: OpenAPI from the routes' schemas, with a page at /docs. */
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { VERSION } from './version.ts'

/** Collects the schemas of the routes that are added from here on. `guarded`: requests need a key. */
export async function describeApi(app: FastifyInstance, guarded: boolean): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Lorikeet',
        version: VERSION,
        description:
          'One base model, thousands of adapters, one process. Choose the adapter of a request by the header `x-lora-adapter` (an RFC 9651 list; several are mixed by weight; `rank` uses some of the ranks), ' +
          'or by `model`. The answer says what served it: `model`, `x-lora-adapter` and `x-lora-digest`.',
      },
      tags: [
        { name: 'generation', description: 'OpenAI-compatible generation' },
        { name: 'embeddings', description: 'Embeddings, labels and scores' },
        { name: 'models', description: 'The base model and its adapters' },
        { name: 'tokens', description: 'Tokenizing' },
        { name: 'adapters', description: 'Adapters that come and go' },
        { name: 'operations', description: 'Health, version, metrics' },
      ],
      ...(guarded && {
        components: { securitySchemes: { key: { type: 'http', scheme: 'bearer', description: 'An API key of this server' } } },
        security: [{ key: [] }],
      }),
    },
  })
}

/** The page on `app`: of its own API, or of `described`'s, which is ready. */
export async function docsPage(app: FastifyInstance, described?: FastifyInstance): Promise<void> {
  await app.register(async (page) => {
    page.addHook('onRoute', (route) => {
      route.config = { ...route.config, open: true }
    })
    if (described) await page.register(swagger, { mode: 'static', specification: { document: described.swagger() as never } })
    await page.register(swaggerUi, { routePrefix: '/docs' })
    page.get('/openapi.json', { schema: { hide: true } }, async () => (described ?? app).swagger())
  })
}
