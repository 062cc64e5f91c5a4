/** GET /v1/models and /v1/models/{id}: the base and the adapters that can be asked for. */
import type { FastifyInstance } from 'fastify'
import { findAdapter } from '../adapter-choice.ts'
import type { AdapterRecord, Serving } from '../types.ts'

function item(serving: Serving, id: string, created: number, root: string, parent: string | null): object {
  return {
    id,
    object: 'model',
    created,
    owned_by: 'lorikeet',
    root,
    parent,
    max_model_len: serving.model.maxModelLen,
    permission: [],
  }
}

function baseItem(serving: Serving): object {
  const { name, created, root } = serving.model
  return item(serving, name, created, root, null)
}

/** undefined for an adapter that was refused. */
function adapterItem(serving: Serving, { name, created, directory, image }: AdapterRecord): object | undefined {
  return image && { ...item(serving, name, created, directory, serving.model.name), digest: image.digest, method: image.method }
}

export function modelRoutes(app: FastifyInstance, serving: Serving): void {
  /** The page as text, for the list that it was made of: gateways ask for it again and again. */
  let made: { of: readonly AdapterRecord[]; page: string } | undefined
  app.get('/v1/models', { schema: { tags: ['models'], summary: 'The base model and its adapters' } }, async (_request, reply) => {
    const of = serving.adapters.list()
    if (made?.of !== of) {
      const models = of.map((record) => adapterItem(serving, record)).filter((model) => model !== undefined)
      made = { of, page: JSON.stringify({ object: 'list', data: [baseItem(serving), ...models] }) }
    }
    reply.type('application/json; charset=utf-8')
    return made.page
  })
  // A wildcard: names may hold slashes, encoded (as the openai packages send them) or not.
  app.get<{ Params: { '*': string } }>(
    '/v1/models/*',
    { schema: { tags: ['models'], summary: 'One model by its id' } },
    async (request) => {
      const id = request.params['*']
      if (id === serving.model.name) return baseItem(serving)
      return adapterItem(serving, findAdapter(serving, id, 'model'))
    },
  )
}
