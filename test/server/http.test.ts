/** Whatever is sent, an error has one shape: what meets no route, and what Fastify or Node would answer by themselves. */
import { connect } from 'node:net'
import t from 'tap'
import { startServed } from '../support/served.ts'

/** All that comes back for some bytes. */
function exchange(url: string, bytes: string | Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1' })
    let text = ''
    socket.on('data', (piece: Buffer) => {
      text += piece
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(text))
    socket.write(bytes)
  })
}

const head = (line: string, headers: string[] = []) =>
  `${[`${line} HTTP/1.1`, 'host: localhost', 'connection: close', ...headers].join('\r\n')}\r\n\r\n`
const post = (body: Buffer | string, type = 'application/json', more: string[] = []) =>
  Buffer.concat([
    Buffer.from(head('POST /v1/completions', [`content-type: ${type}`, `content-length: ${Buffer.byteLength(body)}`, ...more])),
    Buffer.from(body),
  ])

t.test('errors', async (t) => {
  const { url } = await startServed(t, { 'body-limit': 1000 })
  const cases: [what: string, bytes: string | Buffer, status: number, code: string][] = [
    ['no HTTP', 'hello\r\n\r\n', 400, 'invalid_request'],
    ['an unknown method', head('BREW /v1/models'), 400, 'invalid_request'],
    ['CONNECT', head('CONNECT localhost:80'), 405, 'method_not_allowed'],
    ['TRACE', head('TRACE /v1/models'), 405, 'method_not_allowed'],
    ['PROPFIND', head('PROPFIND /v1/models'), 405, 'method_not_allowed'],
    ['PUT', head('PUT /v1/completions', ['content-length: 0']), 405, 'method_not_allowed'],
    ['OPTIONS', head('OPTIONS /v1/completions'), 405, 'method_not_allowed'],
    ['no route', head('GET /v2/models'), 404, 'route_not_found'],
    ['a path that is no text', head('GET /v1/models/%E0%A4%A'), 400, 'invalid_request'],
    ['an expectation', post('{}', 'application/json', ['expect: the-unexpected']), 417, 'expectation_failed'],
    ['another type', post('prompt=a', 'application/x-www-form-urlencoded'), 415, 'unsupported_media_type'],
    ['no body', head('POST /v1/completions', ['content-length: 0']), 400, 'invalid_request'],
    ['a body too large', post(' '.repeat(1001)), 413, 'body_too_large'],
    ['no host', 'GET /health HTTP/1.1\r\nconnection: close\r\n\r\n', 400, 'invalid_request'],
    ['no JSON', post('{"prompt":'), 400, 'invalid_json'],
    ['an empty body', post(''), 400, 'invalid_json'],
    ['a prototype', post('{"prompt":"a","__proto__":{"n":2}}'), 400, 'invalid_json'],
    ['no UTF-8', post(Buffer.from([...Buffer.from('{"prompt":"'), 0xff, 0xfe, ...Buffer.from('"}')])), 400, 'invalid_json'],
    [
      'half a character',
      post(Buffer.from([...Buffer.from('{"prompt":"'), 0xe2, 0x82, ...Buffer.from('"}')])),
      400,
      'invalid_json',
    ],
    [
      'a surrogate in UTF-8',
      post(Buffer.from([...Buffer.from('{"prompt":"'), 0xed, 0xa0, 0x80, ...Buffer.from('"}')])),
      400,
      'invalid_json',
    ],
    ['headers too large', head('GET /', [`x: ${'x'.repeat(20_000)}`]), 431, 'headers_too_large'],
    ['two lengths', head('POST /v1/completions', ['content-length: 1', 'content-length: 2']), 400, 'invalid_request'],
  ]
  for (const [what, bytes, status, code] of cases) {
    const answer = await exchange(url, bytes)
    t.match(answer, new RegExp(`^HTTP/1.1 ${status} `), what)
    t.match(answer, /\r\ncontent-type: application\/json; charset=utf-8\r\n/i, what)
    const { error } = JSON.parse(answer.slice(answer.indexOf('\r\n\r\n')))
    t.same([Object.keys(error).sort(), error.code], [['code', 'message', 'param', 'type'], code], `${what}: ${error.message}`)
  }
  t.match(
    await exchange(url, post('{"prompt":"a","max_tokens":1}', 'application/json', ['expect: 100-continue'])),
    /^HTTP\/1.1 100 Continue[\s\S]*HTTP\/1.1 200 OK/,
  )
})
