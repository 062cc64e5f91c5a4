/** The API document: OpenAPI from the routes' schemas and what they tell of their answers, with a page at /docs. */
import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import type { FastifyInstance, FastifySchema, RouteOptions } from 'fastify'
import type { Serving } from '../types.ts'
import { VERSION } from '../version.ts'
import { documentedBody } from './bodies.ts'
import type { Operation, Schema } from './describe.ts'
import { withNamesApart } from './names.ts'
import { headerParameters, OF_ALL } from './parameters.ts'
import { ANTHROPIC_ERROR, ERROR, refusalResponses, refusalsOf, TGI_ERROR } from './refusals.ts'

const DESCRIPTION =
  'One base model, thousands of adapters, one process. Choose the adapter of a request by the header `x-lora-adapter` (an RFC 9651 list; several are mixed by weight; `rank` uses some of the ranks), ' +
  'or by `model`. The answer says what served it: `model`, `x-lora-adapter` and `x-lora-digest`. ' +
  'A schema of `text/event-stream` is that of each event: of what a `data:` line holds. What a schema allows is served, or refused with a 400 that says what no schema can: ' +
  'that a text is too long, that two fields do not go together.'

const TAGS = [
  { name: 'generation', description: 'OpenAI-compatible generation' },
  { name: 'responses', description: "OpenAI's Responses API" },
  { name: 'messages', description: "Anthropic's Messages API" },
  { name: 'embeddings', description: 'Embeddings, labels and scores' },
  { name: 'models', description: 'The base model and its adapters' },
  { name: 'tokens', description: 'Tokenizing' },
  { name: 'adapters', description: 'Adapters that come and go' },
  { name: 'operations', description: 'Health, version, metrics' },
]

/** Of --rate-limit. */
const RATE_HEADERS = {
  'x-ratelimit-limit': 'Requests a minute',
  'x-ratelimit-remaining': 'How many are left of these',
  'x-ratelimit-reset': 'Seconds until the minute is over',
}

/** What of a server its document depends on. */
export type Described = Pick<Serving, 'model' | 'access'>

/** What @fastify/swagger makes of a route, as far as it is gone on with. */
interface Method {
  operationId?: string
  summary?: string
  description?: string
  parameters?: object[]
  requestBody?: { required: boolean; content: Record<string, { schema: Schema }> }
  responses: Record<string, object>
}
interface Paths {
  [path: string]: Record<string, Method>
}

/** Collects the schemas of the routes that are added from here on. */
export async function describeApi(app: FastifyInstance, { model, access }: Described): Promise<void> {
  const described = new Map<string, { route: RouteOptions; operations: readonly Operation[] }>()
  app.addHook('onRoute', ({ method, url, schema }) => {
    if (!schema?.api && !schema?.hide)
      throw new Error(`${method} ${url} must tell what it answers (\`api\` in its schema), or be hidden (\`hide\`)`)
  })
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Lorikeet',
        version: VERSION,
        description: DESCRIPTION,
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      servers: [{ url: '/' }],
      tags: TAGS,
      ...(access.keys && {
        components: {
          securitySchemes: {
            bearer: { type: 'http', scheme: 'bearer', description: 'An API key of this server' },
            'x-api-key': { type: 'apiKey', in: 'header', name: 'x-api-key', description: 'The same, as Anthropic has it' },
          },
        },
        security: [{ bearer: [] }, { 'x-api-key': [] }],
      }),
    },
    transform: ({ schema: given, url, route }) => {
      const schema = (given ?? {}) as FastifySchema
      const operations = schema.api === undefined ? [] : [schema.api].flat()
      const [first] = operations
      if (!first) return { schema, url }
      for (const method of [route.method].flat())
        described.set(`${method} ${first.path ?? templateOf(url)}`, { route, operations })
      const open = isOpen(route) && access.keys !== undefined
      return {
        schema: { ...schema, ...requestOf(schema, first, model.name), ...(open && { security: [] }) },
        url: first.path ?? url,
      }
    },
    transformObject: (made) => {
      if (!('openapiObject' in made)) return made.swaggerObject
      const { openapiObject: document } = made
      const paths = document.paths as unknown as Paths
      for (const [key, { route, operations }] of described) {
        const [method, path] = key.split(' ')
        const own = paths[path][method.toLowerCase()]
        for (const operation of operations) {
          const at = operation.path ?? path
          paths[at] ??= {}
          paths[at][method.toLowerCase()] = completed(structuredClone(own), operation, at, route, access)
        }
      }
      return withNamesApart({
        ...document,
        components: {
          ...document.components,
          parameters: headerParameters(model.name),
          responses: refusalResponses(),
          headers: { 'x-request-id': { description: "The request's id, as the log has it", schema: { type: 'string' } } },
        },
        named: [ERROR, ANTHROPIC_ERROR, TGI_ERROR],
      }) as typeof document
    },
  })
}

const templateOf = (url: string) => url.replace(/:(\w+)/g, '{$1}')

/** The request as clients may send it. */
function requestOf(
  schema: FastifySchema,
  { body = schema.body as Schema | undefined, path }: Operation,
  base: string,
): FastifySchema {
  const names = [...(path ?? '').matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
  const wildcard = names.length > 0 && !schema.params
  return {
    ...(body && { body: documentedBody(body, base) }),
    ...(wildcard && {
      params: Object.fromEntries(
        names.map((name) => [name, { type: 'string', minLength: 1, description: 'May hold slashes, encoded or not.' }]),
      ),
    }),
  }
}

/** The method of a route as one operation of its. */
function completed(
  method: Method,
  { id, summary, description, answer, refusals = [], headers = [], answerHeaders = {}, links }: Operation,
  path: string,
  route: RouteOptions,
  access: Described['access'],
): Method {
  const { requestBody } = method
  const body = requestBody?.content['application/json'].schema
  const counted = access.rateLimit !== undefined && !isOpen(route)
  const all = Object.entries({ ...answerHeaders, ...(counted && RATE_HEADERS) })
  const said = all.map(([name, about]) => [name, { description: about, schema: { type: 'string' } }])
  return {
    ...method,
    operationId: id,
    ...(summary !== undefined && { summary }),
    ...(description !== undefined && { description }),
    ...(requestBody && { requestBody: { ...requestBody, required: !allowsNull(body) } }),
    parameters: [
      ...(method.parameters ?? []),
      ...[...OF_ALL, ...headers].map((name) => ({ $ref: `#/components/parameters/${name}` })),
    ],
    responses: {
      200: {
        ...answer,
        headers: { 'x-request-id': { $ref: '#/components/headers/x-request-id' }, ...Object.fromEntries(said) },
        ...(links && { links }),
      },
      ...refusalsOf({ path, open: isOpen(route), hasBody: ![route.method].flat().includes('GET'), refusals }, access),
    },
  }
}

const allowsNull = (schema: Schema | undefined) => ((schema?.anyOf ?? []) as Schema[]).some(({ type }) => type === 'null')

const isOpen = ({ config }: RouteOptions) => config?.open === true

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
