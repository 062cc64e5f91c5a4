/** Closing without losing an answer. */
import type { FastifyInstance } from 'fastify'
import type { Engine } from '../runtime/index.ts'
import type { Connections } from './connections.ts'

/** Seconds for the last words to those whose answers did not end in time: the engine speaks between two steps, and a client may read slowly. */
const LAST_WORDS = 5

/**
 * Lets what is under way end within `seconds`, while the port goes on listening: probes are answered, and what generates is refused (readiness.ts) in words that a client understands.
 * Then nothing listens any more; what has not ended is told that the engine closes, and every connection is closed. Waiting for the connections instead would wait for clients: one that
 * never sent a request, or whose stream ended while closing, stays open for its keep-alive time.
 */
export async function drain(app: FastifyInstance, engine: Engine, connections: Connections, seconds: number): Promise<void> {
  await within(seconds, Promise.all([connections.answered(), engine.idle()]))
  const closed = app.close()
  await within(LAST_WORDS, Promise.all([engine.close(), connections.answered()]))
  app.server.closeAllConnections()
  await closed
}

async function within(seconds: number, done: Promise<unknown>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, seconds * 1000)
  })
  await Promise.race([done, timeout])
  clearTimeout(timer)
}
