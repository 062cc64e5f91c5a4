/** Which requests of HTTP have a record: those that the engine computes. */
import type { FastifyInstance } from 'fastify'
import type { RequestRecord } from './record.ts'
import type { Records } from './records.ts'

declare module 'fastify' {
  interface FastifyRequest {
    record?: RequestRecord
  }
  interface FastifyContextConfig {
    /** What becomes of its requests is recorded. */
    recorded?: boolean
  }
}

/** Routes beside those that compute, and count with them, which only read or write text. */
const READING = /tokeni[sz]e|count_tokens/

/** To be called before what refuses a request: refusals have a record too. */
export function recordRequests(app: FastifyInstance, records: Records): void {
  app.decorateRequest('record')
  app.addHook('onRequest', (request, reply, done) => {
    const { config, url = '' } = request.routeOptions
    if (config.recorded) {
      const { id, method, headers } = request
      request.record = records.begin({ id, method, route: url, headers }, reply)
    }
    done()
  })
}

/** Has the routes of `scope` that come after this recorded. */
export function recorded(scope: FastifyInstance): void {
  scope.addHook('onRoute', (route) => {
    if (!READING.test(route.url)) route.config = { ...route.config, recorded: true }
  })
}
