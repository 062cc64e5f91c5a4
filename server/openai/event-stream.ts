/** Server-sent events to one client: `data: {…}` lines in compact JSON, then `data: [DONE]`. */
import { setImmediate, setTimeout } from 'node:timers/promises'
import type { FastifyReply } from 'fastify'
import type { ApiError } from '../errors.ts'
import { jsonOf, paced } from '../json.ts'

/** Bytes that may wait for a slow client; past that its request is ended, since nobody reads it. */
const BACKLOG_LIMIT = 4 << 20

/** Bytes of events that are there already which may wait for a client, before more of them are given. */
const READ_AHEAD = 1 << 16
/** Milliseconds after which it is looked whether they have gone. */
const ROOM_MS = 10

/** Streams with events of this turn: what a step of the engine brings for all choices of a request goes out at once. */
let holding: EventStream[] = []

function hold(stream: EventStream): void {
  if (holding.push(stream) > 1) return
  process.nextTick(() => {
    const all = holding
    holding = []
    for (const one of all) one.flush()
  })
}

export class EventStream {
  private readonly raw: FastifyReply['raw']
  private readonly onBacklog: () => void
  /** What comes after an event that is being written in pieces, and its length. */
  private readonly queue: (string | Iterable<string>)[] = []
  private queued = 0
  private writing = false
  /** Events of this turn of the event loop. */
  private held = ''
  /** Called when the connection takes more, or is gone. */
  private wake = () => {}
  private ending = false

  /** Sends the head: from here on errors are events. `onBacklog` is called once when the client does not keep up. */
  constructor(reply: FastifyReply, headers: Record<string, string>, onBacklog: () => void) {
    reply.hijack()
    this.raw = reply.raw
    this.raw.on('drain', () => this.wake())
    this.raw.once('close', () => this.wake())
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

  /** `opening`: text of the fields that come before the event's own (jsonOf). */
  send(event: object, opening?: string): void {
    if (this.raw.destroyed || this.ending) return
    this.sendJson(jsonOf(event, opening))
  }

  private sendJson(json: string | Iterable<string>): void {
    this.write(typeof json === 'string' ? `data: ${json}\n\n` : framed(json))
    this.cutBacklog()
  }

  /** With its name on a line before it. */
  sendNamed(name: string, event: object): void {
    if (this.raw.destroyed || this.ending) return
    this.write(`event: ${name}\n`)
    this.send(event)
  }

  /** An event whose JSON is there already. Resolves when the client can take another. */
  async sendTold(name: string, json: string | Iterable<string>): Promise<void> {
    if (this.raw.destroyed || this.ending) return
    this.write(`event: ${name}\n`)
    this.sendJson(json)
    if (this.held.length > READ_AHEAD) {
      this.flush()
      await setImmediate()
    }
    // Whoever takes nothing for long is cut (Connections).
    while (!this.raw.destroyed && (this.writing || this.raw.writableLength > READ_AHEAD)) await setTimeout(ROOM_MS)
  }

  private cutBacklog(): void {
    if (this.raw.writableLength + this.queued + this.held.length > BACKLOG_LIMIT) {
      this.onBacklog()
      this.raw.destroy()
    }
  }

  error(error: ApiError): void {
    this.send(error.body())
  }

  done(): void {
    if (this.raw.destroyed || this.ending) return
    this.write('data: [DONE]\n\n')
    this.end()
  }

  /** Ends the stream with what has been sent. */
  end(): void {
    if (this.raw.destroyed || this.ending) return
    this.ending = true
    if (!this.writing) this.finish()
  }

  /** What was held, as one chunk by one call: the response would hand its length, its text and two line ends to the socket one by one. */
  flush(): void {
    const { held } = this
    if (held === '' || this.raw.destroyed) return
    this.held = ''
    const { socket, chunkedEncoding } = this.raw
    // Without a socket it stands behind another response of its connection; without chunks (HTTP/1.0) nothing is to be framed.
    if (socket && chunkedEncoding) socket.write(`${Buffer.byteLength(held).toString(16)}\r\n${held}\r\n`)
    else this.raw.write(held)
  }

  private write(text: string | Iterable<string>): void {
    if (this.writing) {
      this.queue.push(text)
      this.queued += typeof text === 'string' ? text.length : 0
    } else if (typeof text === 'string') {
      if (this.held === '') hold(this)
      this.held += text
    } else {
      this.flush()
      this.writing = true
      this.writePieces(text).catch(() => this.raw.destroy())
    }
  }

  private finish(): void {
    this.flush()
    this.raw.end()
  }

  /** As fast as the client reads. */
  private async writePieces(pieces: Iterable<string>): Promise<void> {
    for await (const text of paced(pieces)) {
      if (this.raw.destroyed) return
      if (this.raw.write(text)) continue
      await new Promise<void>((resolve) => {
        this.wake = resolve
      })
    }
    this.writing = false
    this.queued = 0
    for (const next of this.queue.splice(0)) this.write(next)
    if (this.ending && !this.writing) this.finish()
  }
}

function* framed(pieces: Iterable<string>): Generator<string> {
  yield 'data: '
  yield* pieces
  yield '\n\n'
}
