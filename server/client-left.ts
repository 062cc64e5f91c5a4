/** Whether the one who asked is still there. */
import type { FastifyReply } from 'fastify'
import { ClientLeft } from './tokenizer/process-pool.ts'

/** Aborted, with ClientLeft, when the connection closes before the answer is over (and after it, when nobody listens any more). */
export function leaving(reply: FastifyReply): AbortSignal {
  const left = new AbortController()
  if (reply.raw.destroyed) left.abort(new ClientLeft())
  else reply.raw.once('close', () => left.abort(new ClientLeft()))
  return left.signal
}
