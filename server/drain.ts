/** Closing without losing an answer. */
import type { Server } from 'node:http'
import type { FastifyInstance } from 'fastify'
import type { Engine } from '../runtime/index.ts'

/** Follows the answers under way. The function returned resolves when there are none. */
export function followAnswers(server: Server): () => Promise<void> {
  let underWay = 0
  let onNone: (() => void) | undefined
  server.on('request', (_request, response) => {
    underWay++
    response.once('close', () => {
      underWay--
      if (underWay === 0) onNone?.()
    })
  })
  return () =>
    new Promise((resolve) => {
      if (underWay === 0) resolve()
      else onNone = resolve
    })
}

/**
 * Stops listening, lets what is under way end within `seconds`, and closes every connection then. Waiting for the connections instead would wait for
 * clients: Node takes one that never sent a request for busy, and one whose stream ended while closing stays open for its keep-alive time.
 */
export async function drain(app: FastifyInstance, engine: Engine, answered: () => Promise<void>, seconds: number): Promise<void> {
  const closed = app.close()
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, seconds * 1000)
  })
  await Promise.race([Promise.all([answered(), engine.idle()]), timeout])
  clearTimeout(timer)
  app.server.closeAllConnections()
  await closed
}
