/** Checks what did not come as a request's body by the schemas that bodies are checked by. */
import type { FastifyRequest } from 'fastify'
import type { Body } from './parameters.ts'
import type { BodySchema } from './schemas.ts'

/** Throws what Fastify throws for a wrong body (errors.ts). `request`: any of the app's; it knows how. */
export function validate(request: Pick<FastifyRequest, 'compileValidationSchema'>, schema: BodySchema, body: Body): void {
  const check = request.compileValidationSchema(schema as unknown as Record<string, unknown>)
  if (check(body)) return
  throw Object.assign(new Error('the body is invalid'), { validation: check.errors, validationContext: 'body' })
}
