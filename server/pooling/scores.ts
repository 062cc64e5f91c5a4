/** POST /score (vLLM) and /rerank (Cohere, Jina, vLLM): how much a document has to do with a query. */
import type { FastifyInstance } from 'fastify'
import type { ClassifierHead } from '../../adapters-store/index.ts'
import { leaving } from '../client-left.ts'
import { ApiError } from '../errors.ts'
import { given } from '../openai/parameters.ts'
import type { Serving } from '../types.ts'
import { type Asked, classifierOf, embeddingPlanOf, pooledRoute, writtenList } from './answer.ts'
import { RERANK_ANSWER, SCORE_ANSWER } from './answer-schemas.ts'
import { activated, logitsOf } from './classifier.ts'
import { checked, fieldOf, promptsOf, type Reading, readingOf } from './prompts.ts'
import { type PooledPrompt, type PooledUsage, poolPrompts, usageOf } from './run.ts'
import { rerankSchema, scoreSchema } from './schemas.ts'
import { cosine } from './vectors.ts'

/** Texts with their places in the body. */
interface Side {
  name: string
  whole: unknown
  texts: string[]
}

export function scoreRoutes(app: FastifyInstance, all: Serving): void {
  const score = {
    summary: 'Scores of pairs of texts',
    schema: scoreSchema(all),
    prefix: 'score',
    api: { id: 'score', answer: SCORE_ANSWER },
  }
  pooledRoute(app, all, ['/score', '/v1/score'], score, async (asked) => {
    const [queries, documents] = ['text_1', 'text_2'].map((name) => sideOf(name, asked.body[name]))
    const { texts } = queries
    if (texts.length !== 1 && texts.length !== documents.texts.length)
      throw new ApiError(
        'invalid_request',
        `text_1 holds ${texts.length} texts and text_2 ${documents.texts.length}; give one text_1 for all, or as many as text_2 has`,
        'text_1',
      )
    const { scores, usage } = await scoresOf(asked, queries, documents, 'text_2')
    return { object: 'list', data: writtenList(scores, (score, index) => ({ index, object: 'score', score })), usage }
  })

  const rerank = {
    summary: 'Documents in the order of what they have to do with a query',
    schema: rerankSchema(all),
    prefix: 'rerank',
    api: { id: 'rerank', answer: RERANK_ANSWER },
  }
  pooledRoute(app, all, ['/rerank', '/v1/rerank', '/v2/rerank'], rerank, async (asked) => {
    const { body } = asked
    const whole = body.documents as (string | { text: string })[]
    const texts = whole.map((one) => (typeof one === 'string' ? one : one.text))
    const documents = { name: 'documents', whole, texts }
    const { scores, usage } = await scoresOf(asked, sideOf('query', body.query), documents, 'documents')
    const shown = given<boolean>(body, 'return_documents', true)
    const order = scores.map((_, i) => i).sort((a, b) => scores[b] - scores[a])
    const best = order.slice(0, given(body, 'top_n', 0) || order.length)
    const results = writtenList(best, (index) => ({
      index,
      ...(shown && { document: { text: texts[index] } }),
      relevance_score: scores[index],
    }))
    return { results, usage }
  })
}

const sideOf = (name: string, whole: unknown): Side => ({
  name,
  whole,
  texts: typeof whole === 'string' ? [whole] : (whole as string[]),
})

/** Of each document, with the one query or its own. `field`: of which there may be too much. */
async function scoresOf(
  asked: Asked,
  queries: Side,
  documents: Side,
  field: string,
): Promise<{ scores: number[]; usage: PooledUsage }> {
  const { request, reply, body, adapter, id } = asked
  const { serving } = adapter
  const head = classifierOf(adapter)
  if (head && head.labels !== 1)
    throw new ApiError(
      'invalid_request',
      `\`${adapter.model}\` has a classifier of ${head.labels} labels, and a score comes of one of one label; /classify serves it`,
      'model',
    )
  const reading = readingOf(body, serving)
  const left = leaving(reply)
  const read = ({ name, whole, texts }: Side, how: Reading) =>
    promptsOf(serving, texts, (i) => fieldOf(name, whole, i), how, left)
  const first = await read(queries, reading)
  const perDocument = given<number | undefined>(body, 'max_tokens_per_doc', undefined)
  const most = perDocument === undefined ? reading.most : Math.min(perDocument, reading.most ?? perDocument)
  const second = await read(documents, { ...reading, most })
  const ofQuery = (i: number) => (first.length === 1 ? 0 : i)
  const run = (prompts: PooledPrompt[], pooling: 'last' | 'first' | 'mean') =>
    poolPrompts(request, reply, body, adapter, { id, prompts, pooling, field })
  if (head) {
    const pairs = second.map((document, i) => paired(first[ofQuery(i)], document, reading.most, serving))
    const vectors = await run(pairs, 'last')
    const activate = given<boolean>(body, 'use_activation', true)
    return { scores: vectors.map((vector) => scoreOf(head, vector, activate)), usage: usageOf(pairs) }
  }
  const prompts = [...first, ...second]
  const vectors = await run(prompts, embeddingPlanOf(serving).pooling)
  const scores = second.map((_, i) => cosine(vectors[ofQuery(i)], vectors[first.length + i]))
  return { scores, usage: usageOf(prompts) }
}

function scoreOf(head: ClassifierHead, vector: Float32Array, activate: boolean): number {
  const logits = logitsOf(head, vector)
  return (activate ? activated(logits, head.problem) : logits)[0]
}

/**
 * The query and then the document, each as the tokenizer reads a text alone: what transformers' tokenizer(text, text_pair) makes with the tokenizers of the families that are served. Who has a template
 * for its pairs writes it into both texts. A limit cuts the document.
 */
function paired(query: PooledPrompt, document: PooledPrompt, most: number | undefined, serving: Serving): PooledPrompt {
  return checked([...query.ids, ...document.ids].slice(0, most), document.field, serving)
}
