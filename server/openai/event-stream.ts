/** Server-sent events to one client: `data: {…}` lines in compact JSON, then `data: [DONE]`. */
import type { FastifyReply } from 'fastify'
import type { ApiError } from '../errors.ts'

/** Bytes that may wait for a slow client; past that its request is ended, since nobody reads it. */
const BACKLOG_LIMIT = 4 << 20

export class EventStream {
  private readonly raw: FastifyReply['raw']
  private readonly onBacklog: () => void

  /** Sends the head: from here on errors are events. `onBacklog` is called once when the client does not keep up. */
  constructor(reply: FastifyReply, headers: Record<string, string>, onBacklog: () => void) {
    reply.hijack()
    this.raw = reply.raw
    this.onBacklog = onBacklog
    const own = Object.fromEntries(Object.entries(reply.getHeaders()).filter(([, value]) => value !== undefined)) as Record<
      string,
      string
    >
    this.raw.writeHead(200, {
      ...own,
      ...headers,
      'content-type': 'text/event-stream; charset=utf-8',
      'cache-control': 'no-cache',
      'x-accel-buffering': 'no',
    })
    this.raw.flushHeaders()
  }

  send(event: object): void {
    if (this.raw.destroyed || this.raw.writableEnded) return
    this.raw.write(`data: ${JSON.stringify(event)}\n\n`)
    if (this.raw.writableLength > BACKLOG_LIMIT) {
      this.onBacklog()
      this.raw.destroy()
    }
  }

  error(error: ApiError): void {
    this.send(error.body())
  }

  done(): void {
    if (!this.raw.destroyed) this.raw.end('data: [DONE]\n\n')
  }
}
