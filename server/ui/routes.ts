/** The page at /ui: its files, which anybody may have and which tell nothing, and the socket that its data comes by. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import websocket from '@fastify/websocket'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Access } from '../access/access.ts'
import { sameOrigin } from '../access/hosts.ts'
import { ApiError } from '../errors.ts'
import type { Serving } from '../types.ts'
import { LIVE_PATH, tellHandshakes, upgradesOf } from '../upgrades.ts'
import { Feed } from './feed.ts'
import { MOST_MESSAGE, type Socket } from './watcher.ts'

/** They are written as browsers read them: from dist/server/ui as from server/ui, in the sources. */
const FILES = path.resolve(import.meta.dirname.replace(/\bdist\/(?=server\/ui$)/, ''), 'page')
const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.mjs': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
}
const HEADERS = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cache-control': 'no-cache',
}

/** `access`: whose admins may watch. `generates`: this port has the routes that generate. */
export async function uiRoutes(app: FastifyInstance, serving: Serving, access: Access, generates: boolean): Promise<void> {
  const options = { config: { open: true }, schema: { hide: true } }
  app.get('/ui', options, (_request, reply) => reply.redirect('ui/'))
  for (const name of readdirSync(FILES)) {
    const bytes = readFileSync(path.join(FILES, name))
    const type = TYPES[path.extname(name)]
    const etag = `"${createHash('sha256').update(bytes).digest('hex').slice(0, 32)}"`
    app.get(name === 'index.html' ? '/ui/' : `/ui/${name}`, options, ({ headers }, reply) => {
      reply.headers({ ...HEADERS, etag })
      if (headers['if-none-match'] === etag) return reply.code(304).send()
      return reply.type(type).send(bytes)
    })
  }
  const feed = new Feed(serving, { access, generates })
  await app.register(async (live) => {
    await live.register(websocket, {
      options: { server: upgradesOf(app.server, LIVE_PATH), maxPayload: MOST_MESSAGE, perMessageDeflate: false },
      // It broke the protocol, or went away; nothing of the server is wrong.
      errorHandler: (_error: Error, socket: Socket) => socket.terminate(),
      preClose(this: FastifyInstance, done: () => void) {
        feed.close()
        done()
      },
    } as never)
    tellHandshakes(live.websocketServer)
    live.get(LIVE_PATH, {
      ...options,
      onRequest: async ({ headers }: FastifyRequest) => {
        if (!sameOrigin(headers.origin, headers.host, access.corsOrigins))
          throw new ApiError('host_not_allowed', 'this page is of another origin (--cors-origin names those that may)', 'origin')
      },
      handler: async () => {
        throw new ApiError('invalid_request', `${LIVE_PATH} is a WebSocket (RFC 6455)`, 'upgrade')
      },
      wsHandler: (socket: Socket) => feed.enter(socket),
    } as never)
  })
}
