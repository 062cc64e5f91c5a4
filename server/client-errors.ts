/** What a client is told whose request could not even be read: no handler of ours meets it, and the answer is written to the socket as it stands. */
import { type ServerResponse, STATUS_CODES } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { ConnectionError } from 'fastify'
import { errorBody } from './error-shapes.ts'
import { ApiError } from './errors.ts'

/** Whether an answer to an earlier request of the connection is under way: Node keeps it with the socket. */
const answering = (socket: Duplex, own?: ServerResponse) => {
  const { _httpMessage: message } = socket as Duplex & { _httpMessage?: ServerResponse | null }
  if (!message || message === own) return false
  // That of a request which has not come whole is its own.
  return message.headersSent || message.req.complete
}

/** An error as a whole answer, after which the connection closes. `own`: Node's answer to this request, if it has made one. */
export function answerRaw(socket: Duplex, error: ApiError, own?: ServerResponse): void {
  // In the middle of another answer it would be a part of that.
  if (answering(socket, own)) {
    socket.destroy()
    return
  }
  const { _httpMessage: message } = socket as Duplex & { _httpMessage?: ServerResponse | null }
  const body = JSON.stringify(errorBody(error, (own ?? message)?.req.url))
  if (socket.writable)
    socket.write(
      `HTTP/1.1 ${error.status} ${STATUS_CODES[error.status]}\r\nconnection: close\r\n` +
        `content-type: application/json; charset=utf-8\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    )
  if (socket instanceof Socket) socket.destroySoon()
  else socket.end()
}

/** Fastify's clientErrorHandler. `seconds`: how long a request may take to arrive. */
export const clientErrorHandler = (seconds: number) => (error: ConnectionError, socket: Socket) => {
  // The client went away, or was told already: Node's parser complains anew of all that comes after.
  if (error.code === 'ECONNRESET' || socket.destroyed || socket.writableEnded) return
  const late = (error.code as string) === 'ERR_HTTP_REQUEST_TIMEOUT'
  // A request that waits for its turn (in-turn.ts) is not read meanwhile.
  if (late && answering(socket)) return
  answerRaw(socket, unreadable(error, seconds))
}

function unreadable({ code, message }: ConnectionError, seconds: number): ApiError {
  if ((code as string) === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new ApiError('request_timeout', `the request did not arrive within ${seconds} s (--request-timeout)`)
  if (code === 'HPE_HEADER_OVERFLOW') return new ApiError('headers_too_large', "the request's headers are larger than 16 KiB")
  return new ApiError('invalid_request', `the request is not valid HTTP: ${message}`)
}
