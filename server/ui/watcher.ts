/** One page that watches: its socket, who it is, and what bounds it. */
import { ApiError } from '../errors.ts'
import { MOST_ROWS, type RowsAsked, SORTS } from './adapter-rows.ts'

/** What is used of ws's WebSocket. */
export interface Socket {
  readonly bufferedAmount: number
  send(data: string | Uint8Array): void
  close(code: number, reason: string): void
  terminate(): void
  ping(): void
  on(event: 'message', listener: (data: Buffer, binary: boolean) => void): unknown
  on(event: 'close' | 'pong', listener: () => void): unknown
}

/** What a page may say. */
export type Asked = { adapters: RowsAsked | null } | { names: string }

/** Close codes of our own (4000 to 4999 are free for that), and the standard's. */
export const CLOSE = { goingAway: 1001, policy: 1008, again: 1013, keyNeeded: 4401, notAdmin: 4403 } as const

/** Bytes of a page's messages. */
export const MOST_MESSAGE = 4096
/** Bytes that may wait for a slow reader. */
export const MOST_BACKLOG = 4 << 20
/** Messages a second. */
const MOST_MESSAGES = 20

export class Watcher {
  /** Has the whole map; undefined until it has shown who it is. */
  state: 'stranger' | 'new' | 'watching' = 'stranger'
  /** The list that it shows. */
  rows: RowsAsked | null = null
  /** Its key, to be asked for again: keys are taken away while pages are open. */
  key = ''
  private readonly socket: Socket
  private answered = true
  private messages = 0
  private since = 0

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('pong', () => {
      this.answered = true
    })
  }

  /** A text or, for bytes, a binary message. A page that does not read is cut: it can come again and see all anew. */
  send(message: string | Uint8Array): void {
    if (this.socket.bufferedAmount > MOST_BACKLOG) this.socket.terminate()
    else this.socket.send(message)
  }

  close(code: number, reason: string): void {
    this.socket.close(code, reason)
  }

  terminate(): void {
    this.socket.terminate()
  }

  /** Asks whether somebody is there; ends it when nobody answered the last time. */
  ping(): void {
    if (this.answered) this.socket.ping()
    else this.socket.terminate()
    this.answered = false
  }

  /** Whether it may say one thing more now. */
  mayAsk(now: number): boolean {
    if (now - this.since > 1000) {
      this.since = now
      this.messages = 0
    }
    return ++this.messages <= MOST_MESSAGES
  }
}

/** Reads a message. Throws ApiError. */
export function readMessage(data: Buffer, binary: boolean): Record<string, unknown> {
  if (binary) throw bad('messages are JSON texts')
  let message: unknown
  try {
    message = JSON.parse(data.toString())
  } catch {
    throw bad('a message is not JSON')
  }
  if (typeof message !== 'object' || message === null || Array.isArray(message)) throw bad('a message must be an object')
  return message as Record<string, unknown>
}

/** What a page asks for. Throws ApiError. */
export function askedOf(message: Record<string, unknown>): Asked {
  if (typeof message.names === 'string') return { names: message.names.slice(0, 256) }
  if (message.adapters === null) return { adapters: null }
  const rows = message.adapters as Record<string, unknown> | undefined
  if (typeof rows !== 'object') throw bad('a message asks for `names` or `adapters`')
  const { find = '', sort = 'traffic', from = 0, count = 50 } = rows
  if (typeof find !== 'string' || find.length > 256) throw bad('adapters.find must be a text of 256 characters at most')
  if (!SORTS.includes(sort as never)) throw bad(`adapters.sort must be one of ${SORTS.join(', ')}`)
  const whole = (value: unknown, most: number) => Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most
  if (!whole(from, 1e9)) throw bad('adapters.from must be an integer from 0')
  if (!whole(count, MOST_ROWS)) throw bad(`adapters.count must be an integer from 0 to ${MOST_ROWS}`)
  return { adapters: { find, sort: sort as RowsAsked['sort'], from: from as number, count: count as number } }
}

const bad = (why: string) => new ApiError('invalid_request', why)
