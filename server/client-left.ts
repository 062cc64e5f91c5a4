/** Whether the one who asked is still there. */
import type { FastifyReply } from 'fastify'

/** Aborted when the connection closes before the answer is over (and after it, when nobody listens any more). */
export function leaving(reply: FastifyReply): AbortSignal {
  const left = new AbortController()
  if (reply.raw.destroyed) left.abort()
  else reply.raw.once('close', () => left.abort())
  return left.signal
}
