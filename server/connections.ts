/** The answers under way on each connection: what Node's HTTP server does not tell of them, and closing without cutting one. */
import type { Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

export class Connections {
  /** Answers that are not over, of every connection that has sent a request. */
  private readonly answers = new Map<Socket, Set<ServerResponse>>()
  private underWay = 0
  private readonly waiting: (() => void)[] = []

  constructor(server: Server) {
    server.on('request', ({ socket }, response) => {
      const answers = this.of(socket)
      answers.add(response)
      this.underWay++
      response.once('close', () => {
        answers.delete(response)
        this.underWay--
        if (this.underWay === 0) for (const resolve of this.waiting.splice(0)) resolve()
      })
    })
    // Node's own (which `server.close` calls) destroys a connection whose answer is written but not sent yet: a slow reader's answer was cut at SIGTERM.
    server.closeIdleConnections = () => {
      for (const [socket, answers] of this.answers) if (answers.size === 0) socket.destroy()
    }
  }

  /** Resolves when no answer is under way. */
  async answered(): Promise<void> {
    if (this.underWay > 0) await new Promise<void>((resolve) => this.waiting.push(resolve))
  }

  private of(socket: Socket): Set<ServerResponse> {
    const known = this.answers.get(socket)
    if (known) return known
    const answers = new Set<ServerResponse>()
    this.answers.set(socket, answers)
    socket.once('close', () => {
      this.answers.delete(socket)
      // Of pipelined requests Node assigns the socket to the first answer only, and tells only that one that it is gone: 31 of 32 went on for ever.
      for (const response of answers)
        if (!response.socket) {
          response.destroy()
          response.emit('close')
        }
    })
    return answers
  }
}
