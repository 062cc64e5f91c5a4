/** How answers of the pooled routes look: what embeddings.ts, classify.ts and scores.ts write into the envelope of answer.ts. */
import { type Answer, anyOf, count, json, list, named, number, object, only, type Schema, text } from '../openapi/describe.ts'

const USAGE = named('PooledUsage', object({ prompt_tokens: count, total_tokens: count, completion_tokens: only(0) }))
const VECTOR = anyOf(list(number), { type: 'string', contentEncoding: 'base64', description: 'Little-endian float32' })

const answer = (name: string, description: string, fields: Record<string, Schema>): Answer =>
  json(named(name, object({ id: text, created: count, model: text, ...fields, usage: USAGE })), description)

const listed = (item: Record<string, Schema>) => ({ object: only('list'), data: list(object({ index: count, ...item })) })

export const EMBEDDINGS_ANSWER = answer(
  'Embeddings',
  'A vector of each input',
  listed({ object: only('embedding'), embedding: VECTOR }),
)

export const POOLING_ANSWER = answer(
  'Pooled',
  'Hidden states, or logits, of each input, or of each of its tokens',
  listed({ object: only('pooling'), data: anyOf(VECTOR, list(VECTOR)) }),
)

export const CLASSIFY_ANSWER = answer(
  'Classified',
  'The label of each input',
  listed({ label: text, probs: list(number), num_classes: count }),
)

export const SCORE_ANSWER = answer('Scores', 'A score of each pair', listed({ object: only('score'), score: number }))

export const RERANK_ANSWER = answer('Reranked', 'The documents, best first', {
  results: list(object({ index: count, 'document?': object({ text }), relevance_score: number })),
})
