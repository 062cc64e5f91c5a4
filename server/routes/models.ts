/** GET /v1/models and /v1/models/{id}: the base and the adapters that can be asked for. */
import type { FastifyInstance } from 'fastify'
import { findAdapter, seenBy } from '../adapter-choice.ts'
import type { AdapterRecord, Serving } from '../types.ts'

/** `root` is a path of this machine, which is no tenant's business. */
function item(serving: Serving, admin: boolean, id: string, created: number, root: string, parent: string | null): object {
  return {
    id,
    object: 'model',
    created,
    owned_by: 'lorikeet',
    root: admin ? root : id,
    parent,
    max_model_len: serving.model.maxModelLen,
    permission: [],
  }
}

function baseItem(serving: Serving, admin: boolean): object {
  const { name, created, root } = serving.model
  return item(serving, admin, name, created, root, null)
}

/** undefined for an adapter that was refused. */
function adapterItem(serving: Serving, admin: boolean, { name, created, directory, image }: AdapterRecord): object | undefined {
  if (!image) return undefined
  const { digest, method } = image
  return { ...item(serving, admin, name, created, directory, serving.model.name), digest, method }
}

export function modelRoutes(app: FastifyInstance, serving: Serving): void {
  /** The page as text, for the list that it was made of, with and without paths: gateways ask for it again and again. */
  const pages = [true, false].map((admin) => ({ admin, of: new WeakMap<readonly AdapterRecord[], string>() }))
  app.get(
    '/v1/models',
    { schema: { tags: ['models'], summary: 'The base model and its adapters' } },
    async ({ caller }, reply) => {
      const { admin, of } = pages[caller.admin ? 0 : 1]
      const list = seenBy(caller, serving).adapters.list()
      let page = of.get(list)
      if (page === undefined) {
        const models = list.map((record) => adapterItem(serving, admin, record)).filter((model) => model !== undefined)
        page = JSON.stringify({ object: 'list', data: [baseItem(serving, admin), ...models] })
        of.set(list, page)
      }
      reply.type('application/json; charset=utf-8')
      return page
    },
  )
  // A wildcard: names may hold slashes, encoded (as the openai packages send them) or not.
  app.get<{ Params: { '*': string } }>(
    '/v1/models/*',
    { schema: { tags: ['models'], summary: 'One model by its id' } },
    async ({ params, caller }) => {
      const id = params['*']
      if (id === serving.model.name) return baseItem(serving, caller.admin)
      return adapterItem(serving, caller.admin, findAdapter(seenBy(caller, serving), id, 'model'))
    },
  )
}
