/** GET /v1/models and /v1/models/{id}: the base and the adapters that can be asked for. */
import type { FastifyInstance } from 'fastify'
import { unknownModel } from '../adapter-choice.ts'
import type { Serving } from '../types.ts'

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

function modelItem(serving: Serving, id: string): object | undefined {
  const { model } = serving
  if (id === model.name) return item(serving, id, model.created, model.root, null)
  const record = serving.adapters.get(id)
  return (
    record?.image && {
      ...item(serving, id, record.created, record.directory, model.name),
      digest: record.image.digest,
      method: record.image.method,
    }
  )
}

export function modelRoutes(app: FastifyInstance, serving: Serving): void {
  app.get('/v1/models', { schema: { tags: ['models'], summary: 'The base model and its adapters' } }, async () => {
    const ids = [serving.model.name, ...serving.adapters.list().map((record) => record.name)]
    return { object: 'list', data: ids.map((id) => modelItem(serving, id)).filter((model) => model !== undefined) }
  })
  // A wildcard: names may hold slashes, encoded (as the openai packages send them) or not.
  app.get<{ Params: { '*': string } }>(
    '/v1/models/*',
    { schema: { tags: ['models'], summary: 'One model by its id' } },
    async (request) => {
      const id = request.params['*']
      const found = modelItem(serving, id)
      if (!found) throw unknownModel(serving, id, 'model')
      return found
    },
  )
}
