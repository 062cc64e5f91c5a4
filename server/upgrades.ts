/** Which requests may leave HTTP, and where they go then. */
import { EventEmitter } from 'node:events'
import { IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { answerRaw } from './client-errors.ts'
import { ApiError } from './errors.ts'

/** The page's socket. */
export const LIVE_PATH = '/ui/live'

/** Paths of a server whose requests may become a WebSocket, with what is told of them. */
const doors = new WeakMap<object, Map<string, EventEmitter>>()

const pathOf = ({ url }: IncomingMessage) => url?.split('?')[0] ?? ''

/** What emits `upgrade` for requests of `path` alone: each place with sockets has limits of its own, and would else be told of the others' too. */
export function upgradesOf(server: Server, path: string): Server {
  let paths = doors.get(server)
  if (!paths) {
    const all = new Map<string, EventEmitter>()
    server.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) =>
      all.get(pathOf(request))?.emit('upgrade', request, socket, head),
    )
    doors.set(server, all)
    paths = all
  }
  const door = new EventEmitter()
  paths.set(path, door)
  return door as Server
}

/**
 * Once anything listens for upgrades, Node takes every request with `connection: upgrade` for one and reads no body. Java's HTTP client offers `upgrade: h2c` with each request, and
 * may be answered in HTTP/1.1: its requests go on being requests.
 */
export class Incoming extends IncomingMessage {
  private offered = false

  /** Whether the connection is to leave HTTP. The parser says that it was offered, and asks once the head is there. */
  get upgrade(): boolean {
    if (!this.offered || this.method === 'CONNECT') return this.offered
    const { server } = this.socket as Socket & { server?: Server }
    return (
      this.method === 'GET' &&
      this.headers.upgrade?.toLowerCase() === 'websocket' &&
      server !== undefined &&
      doors.get(server)?.has(pathOf(this)) === true
    )
  }

  set upgrade(offered: boolean | null) {
    this.offered = offered === true
  }
}

/** Whether a request left HTTP, or asks to. */
export const leavesHttp = (request: IncomingMessage) => (request as Incoming).upgrade

/** Answers handshakes that are none: by itself a server of sockets says so in HTML. */
export function tellHandshakes(sockets: EventEmitter): void {
  sockets.on('wsClientError', ({ message }: Error, socket: Socket & { _httpMessage?: ServerResponse }) =>
    answerRaw(
      socket,
      new ApiError('invalid_request', `this is no WebSocket handshake (RFC 6455): ${message}`),
      socket._httpMessage,
    ),
  )
}
