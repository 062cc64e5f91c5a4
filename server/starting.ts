/**
 * What the port tells before the base model is loaded: 503 to every request, with the reason. `/health` too: clients that poll it, and startup probes, take its first 200 for "it can be
 * asked now", as with servers that do not listen before that; what looks at the status alone sees no difference, and what looks at the body learns that the server lives.
 */
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { errorBody } from './error-shapes.ts'
import { ApiError } from './errors.ts'
import type { Certificate } from './http.ts'

/** Seconds after which to ask again. */
const RETRY_AFTER = 5
/** Milliseconds that a client may take to ask. */
const PATIENCE = 10_000

export class Starting {
  /** Part of the weights that has been read; undefined: reading them has not begun. */
  progress: number | undefined
  private readonly server: Server

  private constructor(certificate: Certificate | undefined) {
    const answer: RequestListener = (request, response) => {
      const error = this.reason()
      const body = JSON.stringify(errorBody(error, request.url))
      request.resume()
      response.writeHead(error.status, {
        'content-type': 'application/json; charset=utf-8',
        'content-length': Buffer.byteLength(body),
        'retry-after': String(error.retryAfter),
        // Whoever asks again is to meet the server itself.
        connection: 'close',
      })
      response.end(body)
    }
    this.server = certificate ? createSecureServer(certificate, answer) : createServer(answer)
    this.server.headersTimeout = PATIENCE
    this.server.requestTimeout = PATIENCE
  }

  /** Listens until it is closed. Rejects with the system's error where it cannot. */
  static async listen({ host, port }: { host: string; port: number }, certificate?: Certificate): Promise<Starting> {
    const starting = new Starting(certificate)
    const { server } = starting
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port }, () => {
        server.off('error', reject)
        // What fails later (no file handles) is a connection's misfortune.
        server.on('error', () => {})
        resolve()
      })
    })
    return starting
  }

  /** Frees the port. */
  async close(): Promise<void> {
    if (!this.server.listening) return
    const closed = new Promise((resolve) => this.server.close(resolve))
    this.server.closeAllConnections()
    await closed
  }

  private reason(): ApiError {
    const how = this.progress === undefined ? '' : `: ${Math.floor(this.progress * 100)} % of its weights have been read`
    return new ApiError('server_loading', `the base model is loading${how}`, null, RETRY_AFTER)
  }
}
