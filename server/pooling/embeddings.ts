/** POST /v1/embeddings and /pooling. */
import type { FastifyInstance } from 'fastify'
import type { Pooling } from '../../runtime/index.ts'
import { leaving } from '../client-left.ts'
import { ApiError } from '../errors.ts'
import { given } from '../openai/parameters.ts'
import type { Serving } from '../types.ts'
import { type Asked, classifierOf, embeddingPlanOf, pooledRoute, writtenList } from './answer.ts'
import { EMBEDDINGS_ANSWER, POOLING_ANSWER } from './answer-schemas.ts'
import { activated, logitsOf } from './classifier.ts'
import { fieldOf, inputList, promptsOf, readingOf } from './prompts.ts'
import { poolPrompts, usageOf } from './run.ts'
import { embeddingsSchema, poolingSchema } from './schemas.ts'
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
    const { vectors, usage } = await inputVectors(asked, plan.pooling)
    const normalizes = given(body, 'normalize', given<boolean>(body, 'use_activation', plan.normalize))
    const dimensions = given<number | undefined>(body, 'dimensions', undefined)
    const shaped = (vector: Float32Array) => {
      const cut = dimensions === undefined ? vector : vector.subarray(0, dimensions)
      return normalizes ? normalized(cut) : cut
    }
    const data = writtenList(vectors, (vector, index) => ({
      object: 'embedding',
      index,
      embedding: written(shaped(vector), body.encoding_format),
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
    const head = task === 'embed' ? undefined : classifierOf(adapter)
    if (task === 'classify' && !head) throw withoutClassifier(adapter.model, 'task')
    const { vectors, usage } = await inputVectors(asked, head ? 'last' : embeddingPlanOf(adapter.serving).pooling)
    const activate = given<boolean>(body, 'use_activation', false)
    const shaped = (vector: Float32Array) => {
      if (!head) return activate ? normalized(vector) : vector
      const logits = logitsOf(head, vector)
      return activate ? activated(logits, head.problem) : logits
    }
    const data = writtenList(vectors, (vector, index) => ({
      object: 'pooling',
      index,
      data: written(shaped(vector), body.encoding_format),
    }))
    return { object: 'list', data, usage }
  })
}

/** The hidden state of each `input`. */
export async function inputVectors({ request, reply, body, adapter, id }: Asked, pooling: Pooling) {
  const { serving } = adapter
  const field = (i: number) => fieldOf('input', body.input, i)
  const prompts = await promptsOf(serving, inputList(body.input), field, readingOf(body, serving), leaving(reply))
  const vectors = await poolPrompts(request, reply, body, adapter, { id, prompts, pooling, field: 'input' })
  return { vectors, usage: usageOf(prompts) }
}

export const withoutClassifier = (model: string, param: string) =>
  new ApiError(
    'invalid_request',
    `\`${model}\` has no classifier: neither is the base model one (…ForSequenceClassification), nor has its adapter one (SEQ_CLS, score in modules_to_save)`,
    param,
  )
