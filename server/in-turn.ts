/** Pipelined requests, one after the other. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Requests that one connection may have sent beyond the one that is answered. */
const MOST = 64

/**
 * Requests of one connection are handled in turn, each when the answer to the one before is over. Node hands all of them over as they come. Answers out of turn would wait in memory, and when
 * those are many Node reads no more, so that it learns of a reset only when it writes: 64 requests that nobody waited for any more held every place until the first was answered.
 */
export function handleInTurn(server: Server): void {
  const handlers = server.listeners('request') as ((request: IncomingMessage, response: ServerResponse) => void)[]
  server.removeAllListeners('request')
  const waiting = new WeakMap<Socket, [IncomingMessage, ServerResponse][]>()
  const handle = (socket: Socket, request: IncomingMessage, response: ServerResponse) => {
    response.once('close', () => {
      const queue = waiting.get(socket)
      const next = socket.destroyed ? undefined : queue?.shift()
      if (next) handle(socket, ...next)
      else waiting.delete(socket)
    })
    for (const handler of handlers) handler.call(server, request, response)
  }
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request
    const queue = waiting.get(socket)
    if (!queue) {
      waiting.set(socket, [])
      handle(socket, request, response)
    } else if (queue.length < MOST) queue.push([request, response])
    else socket.destroy()
  })
}
