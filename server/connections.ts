/** The answers under way on each connection: what Node's HTTP server does not tell of them, closing without cutting one, and an end to those that nobody reads. */
import type { Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

export class Connections {
  /** Answers that are not over, of every connection that has sent a request. */
  private readonly answers = new Map<Socket, Set<ServerResponse>>()
  /** How much of what was written to a connection has left, and since when it is no more. */
  private readonly unread = new WeakMap<Socket, { sent: number; since: number }>()

  /** `writeTimeout`: seconds in which a client must have read something of what is there for it. */
  constructor(server: Server, writeTimeout: number) {
    const looking = setInterval(() => this.cutUnread(writeTimeout * 1000), Math.min(1000, writeTimeout * 250))
    looking.unref()
    server.once('close', () => clearInterval(looking))
    server.on('request', ({ socket }, response) => {
      const answers = this.of(socket)
      answers.add(response)
      response.once('close', () => answers.delete(response))
    })
    // Node's own (which `server.close` calls) destroys a connection whose answer is written but not sent yet: a slow reader's answer was cut at SIGTERM.
    server.closeIdleConnections = () => {
      for (const [socket, answers] of this.answers) if (answers.size === 0) socket.destroy()
    }
  }

  /** Resolves when the answers that are under way now are over. Those that begin later are not waited for: of probes and of what is refused there may always be some. */
  async answered(): Promise<void> {
    const underWay = [...this.answers.values()].flatMap((answers) => [...answers])
    await Promise.all(underWay.map((response) => new Promise<void>((resolve) => response.once('close', () => resolve()))))
  }

  /**
   * A client that reads nothing would keep its place, and the memory of what it asked for, as long as it likes. What counts as reading is that a piece (64 KiB of a large
   * answer) has gone to the system whole.
   */
  private cutUnread(milliseconds: number): void {
    const now = performance.now()
    for (const [socket, answers] of this.answers) {
      const sent = socket.bytesWritten - socket.writableLength
      if (answers.size === 0 || socket.writableLength === 0 || this.unread.get(socket)?.sent !== sent)
        this.unread.set(socket, { sent, since: now })
      else if (now - (this.unread.get(socket)?.since ?? now) > milliseconds) socket.destroy()
    }
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
