/** Every route that neither generates nor tokenizes: those of app.ts are counted. A new one is a file beside this and a call here. */
import type { FastifyPluginAsync } from 'fastify'
import type { Serving } from '../types.ts'
import { modelRoutes } from './models.ts'
import { operationRoutes } from './operations.ts'

export function utilityRoutes(serving: Serving): FastifyPluginAsync {
  return async (app) => {
    modelRoutes(app, serving)
    operationRoutes(app, serving)
  }
}
