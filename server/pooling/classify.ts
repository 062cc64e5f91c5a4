/** POST /classify, as vLLM has it. */
import type { FastifyInstance } from 'fastify'
import { given } from '../openai/parameters.ts'
import type { Serving } from '../types.ts'
import { classifierOf, pooledRoute, writtenList } from './answer.ts'
import { CLASSIFY_ANSWER } from './answer-schemas.ts'
import { activated, logitsOf } from './classifier.ts'
import { inputVectors, withoutClassifier } from './embeddings.ts'
import { classifySchema } from './schemas.ts'

export function classifyRoutes(app: FastifyInstance, all: Serving): void {
  const api = { id: 'classify', answer: CLASSIFY_ANSWER }
  const route = { summary: 'Labels of texts, by a classifier', schema: classifySchema(all), prefix: 'classify', api }
  pooledRoute(app, all, ['/classify'], route, async (asked) => {
    const head = classifierOf(asked.adapter)
    if (!head) throw withoutClassifier(asked.adapter.model, 'model')
    const { vectors, usage } = await inputVectors(asked, 'last')
    const activate = given<boolean>(asked.body, 'use_activation', true)
    const data = writtenList(vectors, (vector, index) => {
      const logits = logitsOf(head, vector)
      const probs = activate ? activated(logits, head.problem) : logits
      const best = logits.indexOf(logits.reduce((a, b) => Math.max(a, b)))
      return { index, label: head.names?.[best] ?? `LABEL_${best}`, probs: Array.from(probs), num_classes: head.labels }
    })
    return { object: 'list', data, usage }
  })
}
