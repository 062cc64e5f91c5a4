/** What bounds a WebSocket that answers: what may wait for its reader, for how long, and for how long it lasts at all. */
import type { Socket as Connection } from 'node:net'

/** What is used of ws's WebSocket. */
export interface WebSocket {
  readonly bufferedAmount: number
  send(data: string): void
  close(code: number, reason: string): void
  terminate(): void
  ping(): void
  pause(): void
  resume(): void
  on(event: 'message', listener: (data: Buffer, binary: boolean) => void): unknown
  on(event: 'close' | 'pong', listener: () => void): unknown
}

/** Bytes that may wait for one reader; past that nobody reads. */
export const MOST_BACKLOG = 1 << 20

/** RFC 6455's code of a server that goes away, or does not want to go on. */
const GOING_AWAY = 1001

export class ResponseSocket {
  private readonly socket: WebSocket
  private readonly connection: Connection
  private corked = false
  private written = 0
  private answered = true
  private read = { bytes: 0, at: performance.now() }

  constructor(socket: WebSocket, connection: Connection) {
    this.socket = socket
    this.connection = connection
    socket.on('pong', () => {
      this.answered = true
    })
  }

  /** Bytes that wait for the reader. */
  get backlog(): number {
    return this.socket.bufferedAmount
  }

  /** Events of one turn of the event loop go out together. */
  send(event: object): void {
    if (this.backlog > MOST_BACKLOG) {
      this.terminate()
      return
    }
    const text = JSON.stringify(event)
    this.written += text.length
    if (!this.corked) {
      this.corked = true
      this.connection.cork()
      process.nextTick(() => {
        this.corked = false
        this.connection.uncork()
      })
    }
    this.socket.send(text)
  }

  pause(): void {
    this.socket.pause()
  }

  resume(): void {
    this.socket.resume()
  }

  close(): void {
    this.socket.close(GOING_AWAY, 'the connection is at its end; open a new one')
  }

  terminate(): void {
    this.socket.terminate()
  }

  /** Asks whether somebody is there; ends it when nobody answered the last time. */
  ping(): void {
    if (this.answered) this.socket.ping()
    else this.terminate()
    this.answered = false
  }

  /** Ends it when its reader has read nothing for so many milliseconds of what is there. */
  cutUnread(milliseconds: number, now: number): void {
    const bytes = this.written - this.backlog
    if (this.backlog === 0 || bytes !== this.read.bytes) this.read = { bytes, at: now }
    else if (now - this.read.at > milliseconds) this.terminate()
  }
}
