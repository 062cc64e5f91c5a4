/** GET /v1/models and /v1/models/{id}: the base and the adapters that can be asked for. */
import type { FastifyInstance } from 'fastify'
import { requireServed, unknownModel } from '../adapter-choice.ts'
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
  app.get('/v1/models', { schema: { tags: ['models'], summary: 'The base model and its adapters' } }, async () => {
    const adapters = serving.adapters.list().map((record) => adapterItem(serving, record))
    return { object: 'list', data: [baseItem(serving), ...adapters.filter((model) => model !== undefined)] }
  })
  // A wildcard: names may hold slashes, encoded (as the openai packages send them) or not.
  app.get<{ Params: { '*': string } }>(
    '/v1/models/*',
    { schema: { tags: ['models'], summary: 'One model by its id' } },
    async (request) => {
      const id = request.params['*']
      if (id === serving.model.name) return baseItem(serving)
      const record = serving.adapters.get(id)
      if (!record) throw unknownModel(serving, id, 'model')
      return adapterItem(serving, requireServed(record, 'model'))
    },
  )
}
