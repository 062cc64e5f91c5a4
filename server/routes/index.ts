/** Every route that generates nothing. A new one is a file beside this and a call here. */
import type { FastifyPluginAsync } from 'fastify'
import type { Serving } from '../types.ts'
import { modelRoutes } from './models.ts'
import { operationRoutes } from './operations.ts'
import { tokenRoutes } from './tokens.ts'

export function utilityRoutes(serving: Serving): FastifyPluginAsync {
  return async (app) => {
    modelRoutes(app, serving)
    tokenRoutes(app, serving)
    operationRoutes(app, serving)
  }
}
