/** POST /score (vLLM) and /rerank (Cohere, Jina, vLLM): how much a document has to do with a query. */
import { setImmediate } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import type { ClassifierHead } from '../../adapters-store/index.ts'
import { leaving } from '../client-left.ts'
import { ApiError } from '../errors.ts'
import { type Body, given } from '../openai/parameters.ts'
import type { Serving } from '../types.ts'
import { type Asked, classifierOf, embeddingPlanOf, pooledRoute, writtenList } from './answer.ts'
import { RERANK_ANSWER, SCORE_ANSWER } from './answer-schemas.ts'
import { activated, logitsOf } from './classifier.ts'
import { type EmbeddingPlan, moduled } from './folder.ts'
import { checked, cutIds, fieldOf, promptsOf, type Reading, readingOf } from './prompts.ts'
import { type PooledPrompt, type PooledUsage, poolPrompts, usageOf } from './run.ts'
import { rerankSchema, SCORED, scoreSchema } from './schemas.ts'
import { cutTexts, templatedPairs, variablesOf } from './score-template.ts'
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
    const [one, other] = sidesOf(asked.body)
    const [queries, documents] = [one, other].map((name) => sideOf(name, asked.body[name]))
    const { texts } = queries
    if (texts.length !== 1 && texts.length !== documents.texts.length)
      throw new ApiError(
        'invalid_request',
        `${one} holds ${texts.length} texts and ${other} ${documents.texts.length}; give one ${one} for all, or as many as ${other} has`,
        one,
      )
    const { scores, usage } = await scoresOf(asked, queries, documents, other)
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

/** Under which of vLLM's names a body has its two sides. Throws ApiError. */
function sidesOf(body: Body): readonly [string, string] {
  const there = SCORED.flat().filter((name) => body[name] !== undefined)
  const names = SCORED.find((pair) => pair.every((name) => there.includes(name)))
  const missing =
    there[0] === undefined
      ? 'text_1'
      : SCORED.find((pair) => pair.some((name) => name === there[0]))?.find((name) => !there.includes(name))
  if (!names) throw new ApiError('invalid_request', `you must provide ${missing}`, missing)
  const beside = there.find((name) => !names.some((own) => own === name))
  if (beside !== undefined)
    throw new ApiError(
      'invalid_request',
      `${beside} is another name of what ${names.join(' and ')} say; give one of them`,
      beside,
    )
  return names
}

const sideOf = (name: string, whole: unknown): Side => ({
  name,
  whole,
  texts: typeof whole === 'string' ? [whole] : (whole as string[]),
})

/** What a request's scores are made from. */
interface Scoring {
  asked: Asked
  queries: Side
  documents: Side
  reading: Reading
  left: AbortSignal
  /** Tokens that are kept of a query and of a document. */
  mostOf: { query?: number; document?: number }
  /** Hidden states of these. */
  run(prompts: PooledPrompt[], pooling: EmbeddingPlan['pooling']): Promise<Float32Array[]>
}

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
  const scoring: Scoring = {
    asked,
    queries,
    documents,
    reading: readingOf(body, serving),
    left: leaving(reply),
    mostOf: { query: limitOf(body, 'max_tokens_per_query'), document: limitOf(body, 'max_tokens_per_doc') },
    run: (prompts, pooling) => poolPrompts(request, reply, body, adapter, { id, prompts, pooling, field }),
  }
  const templated = head && serving.scoreTemplate
  const variable = ['instruction', 'chat_template_kwargs'].find((name) => body[name] != null)
  if (variable !== undefined && !templated)
    throw new ApiError(
      'unsupported_parameter',
      `${variable} is for a score template, and \`${adapter.model}\` scores without one; write it into the texts`,
      variable,
    )
  if (!head) return similarities(scoring)
  const pairs = templated ? await renderedPairs(scoring) : await joinedPairs(scoring)
  const vectors = await scoring.run(pairs, 'last')
  const activate = given<boolean>(body, 'use_activation', true)
  return { scores: vectors.map((vector) => scoreOf(head, vector, activate)), usage: usageOf(pairs) }
}

const limitOf = (body: Body, field: string) => given(body, field, 0) || undefined

/** Without a classifier: the cosine of the two embeddings. */
async function similarities(scoring: Scoring): Promise<{ scores: number[]; usage: PooledUsage }> {
  const plan = embeddingPlanOf(scoring.asked.adapter.serving)
  const { first, second } = await readSides(scoring)
  const prompts = [...first, ...second]
  const vectors = await scoring.run(prompts, plan.pooling)
  const shaped: Float32Array[] = []
  for (const [i, vector] of vectors.entries()) {
    // A linear layer takes milliseconds of the server's thread.
    if (plan.modules.length > 0 && i % 4 === 3) await setImmediate()
    shaped.push(moduled(plan, vector))
  }
  const scores = second.map((_, i) => cosine(shaped[first.length === 1 ? 0 : i], shaped[first.length + i]))
  return { scores, usage: usageOf(prompts) }
}

async function readSides({ asked, queries, documents, reading, mostOf, left }: Scoring) {
  const read = ({ name, whole, texts }: Side, most: number | undefined) => {
    const least = Math.min(most ?? Number.POSITIVE_INFINITY, reading.most ?? Number.POSITIVE_INFINITY)
    const how = { ...reading, most: Number.isFinite(least) ? least : undefined }
    return promptsOf(asked.adapter.serving, texts, (i) => fieldOf(name, whole, i), how, left)
  }
  return { first: await read(queries, mostOf.query), second: await read(documents, mostOf.document) }
}

function scoreOf(head: ClassifierHead, vector: Float32Array, activate: boolean): number {
  const logits = logitsOf(head, vector)
  return (activate ? activated(logits, head.problem) : logits)[0]
}

/**
 * The query and then the document, each as the tokenizer reads a text alone: what transformers' tokenizer(text, text_pair) makes with the tokenizers of the families that are served. A limit of the
 * whole cuts at the side that it says.
 */
async function joinedPairs(scoring: Scoring): Promise<PooledPrompt[]> {
  const { first, second } = await readSides(scoring)
  return second.map(({ ids, field }, i) => {
    const query = first[first.length === 1 ? 0 : i]
    return checked(cutIds([...query.ids, ...ids], scoring.reading), field, scoring.asked.adapter.serving)
  })
}

/** As the model's score template has them. */
async function renderedPairs({ asked, queries, documents, reading, mostOf, left }: Scoring): Promise<PooledPrompt[]> {
  const { body, adapter } = asked
  const { serving } = adapter
  const cut = ({ name, whole, texts }: Side, most: number | undefined) =>
    cutTexts(serving, texts, most, (i) => fieldOf(name, whole, i), left)
  const first = await cut(queries, mostOf.query)
  const second = await cut(documents, mostOf.document)
  const pairs = second.map((document, i) => ({
    query: first[first.length === 1 ? 0 : i],
    document,
    field: fieldOf(documents.name, documents.whole, i),
  }))
  return templatedPairs(serving, pairs, variablesOf(body), reading, left)
}
