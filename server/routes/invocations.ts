/** POST /invocations: where SageMaker sends what is meant for a model, whatever API it is of. The body says which. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { ApiError } from '../errors.ts'
import { INVOCATION_ANSWER } from '../openai/answer-schemas.ts'
import type { Body } from '../openai/parameters.ts'
import type { BodySchema } from '../openai/schemas.ts'
import { validate } from '../openai/validate.ts'
import { COMPUTED } from '../openapi/describe.ts'

/** A route that bodies with `field` are of. */
export interface Invoked {
  field: string
  schema: BodySchema
  handler(request: FastifyRequest<{ Body: Body }>, reply: FastifyReply): Promise<unknown>
}

export function invocationRoute(app: FastifyInstance, invoked: readonly Invoked[]): void {
  const fields = invoked.map(({ field }) => `\`${field}\``).join(' or ')
  const body = {
    description: `A body of the route that is meant: ${fields} tells which.`,
    examples: invoked.flatMap((one) => one.schema.examples),
    anyOf: invoked.map((one) => one.schema),
  }
  app.post<{ Body: Body }>('/invocations', {
    schema: {
      tags: ['generation'],
      summary: 'For SageMaker: completions or chat, by the body',
      api: { id: 'invoke', body, answer: INVOCATION_ANSWER, ...COMPUTED },
    },
    // What is wrong is told by the schema of the route that is meant.
    handler: async (request, reply) => {
      const body: unknown = request.body
      const held = typeof body === 'object' && body !== null ? (body as Body) : {}
      const route = invoked.find(({ field }) => held[field] !== undefined)
      if (!route) throw new ApiError('invalid_request', `the body must be an object with ${fields}`)
      validate(request, route.schema, held)
      return route.handler(request, reply)
    },
  })
}
