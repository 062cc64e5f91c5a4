/** An answer's id: `cmpl-…`, `chatcmpl-…`. A request_id of the client's, or its x-request-id, goes in; a part of our own keeps ids unique. */
import { randomBytes } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { Body } from './parameters.ts'

export function requestId(prefix: string, request: Pick<FastifyRequest, 'headers'>, body: Body): string {
  const wanted = (body.request_id as string | null | undefined) ?? request.headers['x-request-id']
  const own = randomBytes(12).toString('hex')
  return typeof wanted === 'string' && wanted !== '' ? `${prefix}-${wanted.slice(0, 128)}-${own.slice(0, 8)}` : `${prefix}-${own}`
}
