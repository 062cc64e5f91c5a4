/** HTTP clients that do not behave: they go away at any moment, as clients do. */
import { request } from 'node:http'
import { connect } from 'node:net'
import type { seeded } from './pace.ts'

type Random = ReturnType<typeof seeded>
type Manner = 'connects' | 'sends half' | 'waits a while' | 'streams a while' | 'streams to the end'
const MANNERS: Manner[] = ['connects', 'sends half', 'waits a while', 'streams a while', 'streams a while', 'streams to the end']

const later = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

/** One client's whole life. Resolves to what it did; rejects only when a stream that it read to the end was not whole. */
export async function vanishingClient(url: string, body: object, random: Random): Promise<Manner> {
  const manner = random.pick(MANNERS)
  const patience = random.below(60)
  const { hostname, port } = new URL(url)
  const text = JSON.stringify({ ...body, stream: manner.startsWith('streams') })
  const head = `POST /v1/chat/completions HTTP/1.1\r\nHost: ${hostname}\r\nContent-Type: application/json\r\nContent-Length: ${Buffer.byteLength(text)}\r\n\r\n`

  if (manner === 'connects' || manner === 'sends half') {
    const socket = connect(Number(port), hostname)
    socket.on('error', () => {}) // the server may hang up first; either way is fine
    if (manner === 'sends half') socket.write((head + text).slice(0, 1 + random.below(head.length + text.length - 1)))
    await later(patience)
    socket.destroy()
    return manner
  }

  await new Promise<void>((resolve, reject) => {
    const chunks = random.below(20)
    let seen = 0
    let received = ''
    const client = request({
      hostname,
      port,
      path: '/v1/chat/completions',
      method: 'POST',
      headers: { 'content-type': 'application/json' },
    })
    client.on('error', () => resolve())
    client.on('response', (response) => {
      response.setEncoding('utf8')
      response.on('error', () => resolve())
      response.on('data', (data: string) => {
        received += data
        if (manner === 'streams a while' && ++seen > chunks) client.destroy()
      })
      response.on('end', () => {
        if (manner !== 'streams to the end' || response.statusCode === 429) return resolve()
        if (response.statusCode === 200 && received.endsWith('data: [DONE]\n\n') && received.includes('"finish_reason":"'))
          return resolve()
        reject(new Error(`a stream ended with status ${response.statusCode} and ${JSON.stringify(received.slice(-300))}`))
      })
      response.on('close', () => resolve())
    })
    client.end(text)
    if (manner === 'waits a while') setTimeout(() => client.destroy(), patience)
  })
  return manner
}
