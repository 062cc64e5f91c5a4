/** What the routes of pooled requests have in common: which adapters serve, whose classifier answers, and the envelope. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { ClassifierHead } from '../../adapters-store/index.ts'
import { ADAPTER_HEADER, chooseAdapter, type LeasedAdapters, leaseAdapters } from '../adapter-choice.ts'
import { ApiError } from '../errors.ts'
import { jsonBody, SlicedArray } from '../json.ts'
import { type Body, checkFields } from '../openai/parameters.ts'
import { requestId } from '../openai/request-id.ts'
import type { BodySchema } from '../openai/schemas.ts'
import { COMPUTED, type Operation } from '../openapi/describe.ts'
import type { Serving } from '../types.ts'
import { type EmbeddingPlan, USUAL } from './folder.ts'

export interface Asked {
  request: FastifyRequest
  reply: FastifyReply
  body: Body
  adapter: LeasedAdapters
  id: string
}

/** Adds a route for each of `paths`. `prefix`: of its answers' ids. */
export function pooledRoute(
  app: FastifyInstance,
  all: Serving,
  paths: readonly string[],
  {
    summary,
    schema,
    prefix,
    api,
  }: { summary: string; schema: BodySchema; prefix: string; api: Pick<Operation, 'id' | 'answer'> },
  answer: (asked: Asked) => Promise<object>,
): void {
  for (const [i, path] of paths.entries()) {
    // One id each: the first has the plain one.
    const own = {
      ...api,
      ...COMPUTED,
      id: i === 0 ? api.id : `${api.id}At${path.replace(/\W+(\w)/g, (_, first) => first.toUpperCase())}`,
    }
    app.post<{ Body: Body }>(
      path,
      { schema: { body: schema, tags: ['embeddings'], summary, api: own } },
      async (request, reply) => {
        const { body } = request
        checkFields(body, schema, ['truncation_side'])
        const choice = await chooseAdapter(all, request, body.model as string | undefined, reply)
        const adapter = await leaseAdapters(all, choice, reply, { exact: true })
        const id = requestId(prefix, request, body)
        const made = await answer({ request, reply, body, adapter, id })
        request.log.info({ model: adapter.model, ms: Math.round(reply.elapsedTime) }, prefix)
        reply.type('application/json; charset=utf-8')
        return jsonBody({ id, created: Math.floor(Date.now() / 1000), model: adapter.model, ...made })
      },
    )
  }
}

/** A list whose items are made when it is written: thousands of vectors are many megabytes of text. */
export const writtenList = <T>(items: readonly T[], item: (one: T, index: number) => object): SlicedArray =>
  new SlicedArray(
    (function* () {
      for (const [index, one] of items.entries()) yield [item(one, index)]
    })(),
  )

/** How texts are embedded. Throws ApiError where the model's folder asks for what is not served. */
export function embeddingPlanOf({ embeddings = USUAL, model }: Serving): EmbeddingPlan {
  if (embeddings.unserved)
    throw new ApiError('unsupported_parameter', `the model \`${model.name}\` ${embeddings.unserved}`, 'model')
  return embeddings
}

/** The classifier that answers: the adapter's own, else the base's; undefined where there is none. Of a mix one alone may have one. */
export function classifierOf({ heads, serving }: LeasedAdapters): ClassifierHead | undefined {
  if (heads.length > 1)
    throw new ApiError(
      'invalid_request',
      `${ADAPTER_HEADER}: ${heads.map(({ name }) => name).join(' and ')} have a classifier each, and what a mix of classifiers is nobody defines; name one of them`,
      ADAPTER_HEADER,
    )
  const ofBase = serving.engine.info.classifier
  const own = heads[0]?.head
  if (!own || own.labels !== ofBase?.labels) return own ?? ofBase
  // It was trained in the place of the base's, whose config says what its labels are.
  return { names: ofBase.names, problem: ofBase.problem, ...own }
}
