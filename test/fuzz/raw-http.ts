/** HTTP as bytes over a socket: what no client library would send, and what comes back. */
import { connect } from 'node:net'

export interface Response {
  status: number
  headers: Map<string, string>
  body: string
}

/** How it ended: `closed` by the server; `answered` and kept open; `silent`: not all came for as long as we cared. */
export interface Exchange {
  responses: Response[]
  /** What is no HTTP response. */
  rest: string
  ended: 'closed' | 'silent' | 'answered'
}

/** Milliseconds without another byte after which a whole answer was the last on a connection that stays open. */
const QUIET = 40

/** Sends the pieces one by one, and reads until the server closes, is quiet after an answer, or `milliseconds` have passed. `half`: we say that no more comes; `head`: the answer has no body. */
export function exchange(
  port: number,
  pieces: readonly (Buffer | string)[],
  milliseconds: number,
  half: boolean,
  head: boolean,
): Promise<Exchange> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    const received: Buffer[] = []
    const text = () => Buffer.concat(received).toString('latin1')
    const timer = setTimeout(() => finish('silent'), milliseconds)
    let quiet: NodeJS.Timeout | undefined
    const finish = (ended: Exchange['ended']) => {
      clearTimeout(timer)
      clearTimeout(quiet)
      socket.destroy()
      const { responses, rest } = parsed(text(), head)
      resolve({ responses, rest, ended })
    }
    socket.on('error', () => finish('closed'))
    socket.on('close', () => finish('closed'))
    socket.on('end', () => finish('closed'))
    socket.on('data', (data) => {
      received.push(data)
      clearTimeout(quiet)
      quiet = setTimeout(() => parsed(text(), head).whole && finish('answered'), QUIET)
    })
    socket.setNoDelay(true)
    const send = (i: number) => {
      if (i === pieces.length) return half ? socket.end() : undefined
      socket.write(pieces[i], () => setImmediate(send, i + 1))
    }
    socket.on('connect', () => send(0))
  })
}

/** All responses in the bytes; not `whole` if the head of the last promises more than came. */
function parsed(bytes: string, bodiless: boolean): { responses: Response[]; rest: string; whole: boolean } {
  const responses: Response[] = []
  let rest = bytes
  let whole = false
  while (rest !== '') {
    const head = /^HTTP\/1\.1 (\d{3})[^\r\n]*\r\n((?:[^\r\n]+\r\n)*)\r\n/.exec(rest)
    if (!head) break
    const status = Number(head[1])
    const headers = new Map(
      head[2]
        .split('\r\n')
        .slice(0, -1)
        .map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]),
    )
    rest = rest.slice(head[0].length)
    let body = ''
    if (bodiless && responses.length === 0) whole = true
    else if (status >= 200 && headers.get('transfer-encoding') === 'chunked') [body, rest, whole] = unchunked(rest)
    else if (status >= 200) {
      // To HTTP/1.0 and to what Node takes for older, a stream ends with its connection.
      const endless = !headers.has('content-length') && headers.get('connection') === 'close'
      const length = endless ? rest.length : Number(headers.get('content-length') ?? 0)
      body = rest.slice(0, length)
      whole = !endless && body.length === length
      rest = rest.slice(length)
    }
    if (status >= 200) responses.push({ status, headers, body: Buffer.from(body, 'latin1').toString() })
  }
  return { responses, rest, whole }
}

function unchunked(text: string): [body: string, rest: string, whole: boolean] {
  let body = ''
  let at = 0
  for (;;) {
    const line = text.indexOf('\r\n', at)
    const size = line < 0 ? Number.NaN : Number.parseInt(text.slice(at, line), 16)
    if (Number.isNaN(size)) return [body, '', false]
    body += text.slice(line + 2, line + 2 + size)
    at = line + 2 + size + 2
    if (size === 0) return [body, text.slice(at), true]
  }
}
