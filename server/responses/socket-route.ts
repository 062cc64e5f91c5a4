/** The WebSocket mode of /v1/responses, as OpenAI documents it: its connections together. */
import websocket from '@fastify/websocket'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { sameOrigin } from '../access/hosts.ts'
import { ApiError } from '../errors.ts'
import { tellHandshakes, upgradesOf } from '../upgrades.ts'
import { ResponseSocket, type WebSocket } from './response-socket.ts'
import { Session, type SessionTools } from './session.ts'

const PATH = '/v1/responses'

/** Bytes that may wait for all readers together. */
const MOST_BACKLOGS = 64 << 20
/** Milliseconds: of a connection (as OpenAI's), between two pings, between two looks at all, and for a closed one to say that it is. */
const LONGEST = 60 * 60_000
const PING_EVERY = 30_000
const LOOK_EVERY = 1000
const CLOSE_TIMEOUT = 5000

interface Open {
  socket: ResponseSocket
  session: Session
  since: number
}

/** What may be different in tests. */
export interface SocketTimes {
  longest?: number
  pingEvery?: number
  lookEvery?: number
}

export async function responseSockets(app: FastifyInstance, tools: SessionTools, times: SocketTimes = {}): Promise<void> {
  const { access, readiness, responses } = tools
  const { bodyLimit, writeTimeout } = responses.all.limits
  const { longest = LONGEST, pingEvery = PING_EVERY, lookEvery = LOOK_EVERY } = times
  const all = new Set<Open>()
  let pingAt = performance.now() + pingEvery
  responses.all.metrics.conversations.websockets = () => all.size
  const looking = setInterval(() => {
    const now = performance.now()
    const pings = now >= pingAt
    if (pings) pingAt = now + pingEvery
    for (const { socket, session, since } of all) {
      if (pings) socket.ping()
      socket.cutUnread(writeTimeout * 1000, now)
      if (now - since > longest) session.expire()
    }
    cutBacklogs(all)
  }, lookEvery).unref()
  app.addHook('onClose', async () => clearInterval(looking))
  // What is in progress ends; drain.ts waits for that, and ends it where it takes too long.
  readiness.onDrain(() => {
    for (const { session } of all) session.drain()
  })
  await app.register(async (sockets) => {
    await sockets.register(websocket, {
      options: {
        server: upgradesOf(app.server, PATH),
        maxPayload: bodyLimit,
        perMessageDeflate: false,
        closeTimeout: CLOSE_TIMEOUT,
      },
      // It broke the protocol, or went away; nothing of the server is wrong.
      errorHandler: (_error: Error, socket: WebSocket) => socket.terminate(),
      // By itself it would end every socket at once.
      preClose(this: FastifyInstance, done: () => void) {
        readiness.drain()
        done()
      },
    } as never)
    tellHandshakes(sockets.websocketServer)
    sockets.get(PATH, {
      schema: { hide: true },
      onRequest: async ({ headers, ws }: FastifyRequest) => {
        if (!ws) return
        if (!sameOrigin(headers.origin, headers.host, access.corsOrigins))
          throw new ApiError('host_not_allowed', 'this page is of another origin (--cors-origin names those that may)', 'origin')
        readiness.refuseWhileDraining()
      },
      handler: async (_request: FastifyRequest, reply: { header(name: string, value: string): unknown }) => {
        reply.header('allow', 'POST')
        throw new ApiError('method_not_allowed', `GET is not allowed on ${PATH} but to open a WebSocket; use POST`)
      },
      wsHandler: (raw: WebSocket, request: FastifyRequest) => {
        const socket = new ResponseSocket(raw, request.raw.socket)
        const session = new Session(socket, request, tools)
        const open = { socket, session, since: performance.now() }
        all.add(open)
        raw.on('message', (data, binary) => session.message(data, binary))
        raw.on('close', () => {
          all.delete(open)
          session.end()
        })
        if (readiness.draining) session.drain()
      },
    } as never)
  })
}

/** Where all together hold too much, those that hold most are cut. */
function cutBacklogs(all: Iterable<Open>): void {
  const waiting = [...all].map(({ socket }) => ({ socket, bytes: socket.backlog }))
  let sum = waiting.reduce((bytes, one) => bytes + one.bytes, 0)
  if (sum <= MOST_BACKLOGS) return
  waiting.sort((a, b) => b.bytes - a.bytes)
  for (const { socket, bytes } of waiting) {
    if (sum <= MOST_BACKLOGS) return
    socket.terminate()
    sum -= bytes
  }
}
