/** GET /v1/models and /v1/models/{id}: the base and the adapters that can be asked for. */
import type { FastifyInstance } from 'fastify'
import { hubOfFolder, hubText } from '../../adapters-store/index.ts'
import type { Caller } from '../access/caller.ts'
import { findAdapter, requireServed, seenBy } from '../adapter-choice.ts'
import { jsonBody, SlicedArray } from '../json.ts'
import type { AdapterRecord, Serving } from '../types.ts'
import { MODEL_ANSWER, MODELS_ANSWER } from './answer-schemas.ts'

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

/** The folder, or what is fetched of the hub by its name there, as vLLM has it. */
function rootOf(directory: string): string {
  const hub = hubOfFolder(directory)
  return hub ? hubText({ ...hub.name, revision: 'main' }) : directory
}

/** undefined for an adapter that was refused. Digest and method are null until it has been read; a tenant is not told whether anybody has had it read. */
function adapterItem(serving: Serving, admin: boolean, record: AdapterRecord): object | undefined {
  const { name, created, directory, digest = null, method = null, refusal } = record
  if (refusal !== undefined) return undefined
  const model = item(serving, admin, name, created, rootOf(directory), serving.model.name)
  return admin ? { ...model, digest, method } : model
}

/** Models of a slice of the list that are written before others have a turn. */
const SLICE = 200

/** All that exists for the caller, the base first. */
function* slices(serving: Serving, caller: Caller): Generator<object[]> {
  yield [baseItem(serving, caller.admin)]
  const list = seenBy(caller, serving).adapters.list()
  for (let at = 0; at < list.length; at += SLICE)
    yield list
      .slice(at, at + SLICE)
      .map((record) => adapterItem(serving, caller.admin, record))
      .filter((model) => model !== undefined)
}

export function modelRoutes(app: FastifyInstance, serving: Serving): void {
  app.get(
    '/v1/models',
    {
      schema: {
        tags: ['models'],
        summary: 'The base model and its adapters',
        api: {
          id: 'listModels',
          answer: MODELS_ANSWER,
          links: { getModel: { operationId: 'getModel', parameters: { id: '$response.body#/data/0/id' } } },
        },
      },
    },
    async ({ caller }, reply) => {
      reply.type('application/json; charset=utf-8')
      return jsonBody({ object: 'list', data: new SlicedArray(slices(serving, caller)) })
    },
  )
  // A wildcard: names may hold slashes, encoded (as the openai packages send them) or not.
  app.get<{ Params: { '*': string } }>(
    '/v1/models/*',
    {
      schema: {
        tags: ['models'],
        summary: 'One model by its id',
        api: {
          id: 'getModel',
          path: '/v1/models/{id}',
          answer: MODEL_ANSWER,
          refusals: ['model_not_found', 'adapter_refused'],
        },
      },
    },
    async ({ params, caller }) => {
      const id = params['*']
      if (id === serving.model.name) return baseItem(serving, caller.admin)
      const record = findAdapter(seenBy(caller, serving), id, 'model')
      return adapterItem(serving, caller.admin, requireServed(record, 'model'))
    },
  )
}
