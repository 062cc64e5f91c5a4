/** The API document: OpenAPI from the routes' schemas, with a page at /docs. */
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance } from 'fastify'
import { VERSION } from './version.ts'

export async function registerDocs(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      info: {
        title: 'Lorikeet',
        version: VERSION,
        description:
          'One base model, thousands of adapters, one process. Choose the adapter of a request by the header `x-lora-adapter` (an RFC 9651 list; several are mixed by weight), ' +
          'or by `model`. The answer says what served it: `model`, `x-lora-adapter` and `x-lora-digest`.',
      },
      tags: [
        { name: 'generation', description: 'OpenAI-compatible generation' },
        { name: 'models', description: 'The base model and its adapters' },
        { name: 'tokens', description: 'Tokenizing' },
        { name: 'operations', description: 'Health, version, metrics' },
      ],
    },
  })
  await app.register(swaggerUi, { routePrefix: '/docs' })
}
