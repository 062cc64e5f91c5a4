/** POST /v1/embeddings and /pooling. */
import type { FastifyInstance } from 'fastify'
import type { Pooling } from '../../runtime/index.ts'
import { ApiError } from '../errors.ts'
import { type Body, given } from '../openai/parameters.ts'
import type { Serving } from '../types.ts'
import { type Asked, classifierOf, embeddingPlanOf, pooledRoute, writtenList } from './answer.ts'
import { EMBEDDINGS_ANSWER, POOLING_ANSWER } from './answer-schemas.ts'
import { activated, logitsOf } from './classifier.ts'
import { type EmbeddingPlan, moduled, widthOf } from './folder.ts'
import { promptOf } from './named-prompts.ts'
import { bodyPrompts } from './prompts.ts'
import { poolPrompts, usageOf } from './run.ts'
import { embeddingsSchema, poolingSchema } from './schemas.ts'
import { tokenRows } from './token-rows.ts'
import { normalized, written } from './vectors.ts'

export function embeddingRoutes(app: FastifyInstance, all: Serving): void {
  const embeddings = {
    summary: 'Embeddings of texts',
    schema: embeddingsSchema(all),
    prefix: 'embd',
    api: { id: 'createEmbeddings', answer: EMBEDDINGS_ANSWER },
  }
  pooledRoute(app, all, ['/v1/embeddings'], embeddings, async (asked) => {
    const { body, adapter } = asked
    const plan = embeddingPlanOf(adapter.serving)
    const { vectors, usage } = await inputVectors(asked, plan.pooling, promptOf(body, plan))
    const normalizes = given(body, 'normalize', given<boolean>(body, 'use_activation', plan.normalize))
    const data = writtenList(vectors, (vector, index) => ({
      object: 'embedding',
      index,
      embedding: written(shapedBy(plan, asked, vector, normalizes), body.encoding_format),
    }))
    return { object: 'list', data, usage }
  })

  const pooling = {
    summary: 'Pooled hidden states, or the logits of a classifier',
    schema: poolingSchema(all),
    prefix: 'pool',
    api: { id: 'pool', answer: POOLING_ANSWER },
  }
  pooledRoute(app, all, ['/pooling'], pooling, async (asked) => {
    const { body, adapter } = asked
    const task = given<string | undefined>(body, 'task', undefined)
    const embeds = task === 'embed' || task === 'token_embed'
    const head = embeds ? undefined : classifierOf(adapter)
    if (task?.endsWith('classify') && !head) throw withoutClassifier(adapter.model, 'task')
    const perToken = task?.startsWith('token_') === true
    const plan = head || perToken ? undefined : embeddingPlanOf(adapter.serving)
    const { hiddenSize } = adapter.serving.engine.info
    checkDimensions(body, head ? undefined : plan ? widthOf(plan, hiddenSize) : hiddenSize)
    const activate = given<boolean>(body, 'use_activation', false)
    const logits = (vector: Float32Array) => {
      const found = logitsOf(head as NonNullable<typeof head>, vector)
      return activate ? activated(found, (head as NonNullable<typeof head>).problem) : found
    }
    if (perToken) return tokenRows(asked, head ? logits : (row) => cut(asked, row, activate), head?.labels)
    const { vectors, usage } = await inputVectors(asked, plan?.pooling ?? 'last')
    const data = writtenList(vectors, (vector, index) => ({
      object: 'pooling',
      index,
      data: written(plan ? shapedBy(plan, asked, vector, activate) : logits(vector), body.encoding_format),
    }))
    return { object: 'list', data, usage }
  })
}

/** `width`: elements of the vectors; undefined: they are logits. */
function checkDimensions(body: Body, width: number | undefined): void {
  const asked = given<number | undefined>(body, 'dimensions', undefined)
  if (asked === undefined || (width !== undefined && asked <= width)) return
  const instead = width === undefined ? 'these are the logits of a classifier' : `the vectors have ${width} elements`
  throw new ApiError('invalid_request', `dimensions is ${asked}, and ${instead}`, 'dimensions')
}

/** The model's modules and then the request's `dimensions`; of length 1 if so. */
const shapedBy = (plan: EmbeddingPlan, asked: Asked, vector: Float32Array, normalizes: boolean) =>
  cut(asked, moduled(plan, vector), normalizes)

function cut({ body }: Asked, vector: Float32Array, normalizes: boolean): Float32Array {
  const dimensions = given<number | undefined>(body, 'dimensions', undefined)
  const kept = dimensions === undefined ? vector : vector.subarray(0, dimensions)
  return normalizes ? normalized(kept) : kept
}

/** The hidden state of each `input`, or of the conversation. `before`: put before each text. */
export async function inputVectors(asked: Asked, pooling: Exclude<Pooling, 'each'>, before?: string) {
  const { request, reply, body, adapter, id } = asked
  const prompts = await bodyPrompts(asked, before)
  const field = body.messages === undefined ? 'input' : 'messages'
  const vectors = await poolPrompts(request, reply, body, adapter, { id, prompts, pooling, field })
  return { vectors, usage: usageOf(prompts) }
}

export const withoutClassifier = (model: string, param: string) =>
  new ApiError(
    'invalid_request',
    `\`${model}\` has no classifier: neither is the base model one (…ForSequenceClassification), nor has its adapter one (SEQ_CLS, score in modules_to_save)`,
    param,
  )
