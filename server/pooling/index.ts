/** Every route of pooled requests. */
import type { FastifyInstance } from 'fastify'
import type { Serving } from '../types.ts'
import { classifyRoutes } from './classify.ts'
import { embeddingRoutes } from './embeddings.ts'
import { scoreRoutes } from './scores.ts'

export function pooledRoutes(app: FastifyInstance, serving: Serving): void {
  embeddingRoutes(app, serving)
  classifyRoutes(app, serving)
  scoreRoutes(app, serving)
}
