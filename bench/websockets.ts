/**
 * Many WebSockets on /v1/responses, half of them slow: they ask, and read nothing. What the server's memory does, and whether the others notice: those that ask while the slow ones' responses are in progress, which come first, and
 * those that ask when these are over and wait to be read.
 *   targets: the readers' answers take ≤ 1.1 × what they take when the other half reads too, both times; the server's memory grows by ≤ 96 MiB more (64 MiB may wait for readers); the readers' answers are right and the server is well
 * `node dist/bench/websockets.js [--sockets 1000] [--tokens 24]`; Linux (/proc). Every answer brings 20 logprobs a token, so that what waits for who does not read is large.
 */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { parseArgs } from 'node:util'
import { demoModel } from '../test/support/repo.ts'
import { TestSocket } from '../test/support/web-socket.ts'
import { against, heading, quantile, sleep, table } from './report.ts'
import { metricOn, residentBytes, type ServerProcess, startServer } from './server-process.ts'

const { values } = parseArgs({
  options: { sockets: { type: 'string', default: '1000' }, tokens: { type: 'string', default: '24' } },
})
const half = Number(values.sockets) / 2
const tokens = Number(values.tokens)
/** Milliseconds for an answer. */
const PATIENCE = 300_000
/** Responses that each slow socket asks for, one a stream: more than the system's buffers take. */
const STREAMS = 8
const CREATE = {
  type: 'response.create',
  input: 'Tell me a story.',
  temperature: 0,
  top_logprobs: 20,
  include: ['message.output_text.logprobs'],
  max_output_tokens: tokens,
  ignore_eos: true,
}

const settings = ['--model', demoModel('base'), '--pool', '256MiB', '--log-level', 'error']
settings.push('--max-concurrent-requests', String(half * (STREAMS + 1)), '--max-sequences-in-flight', '65536')

/** A handshake and frames by hand: a client that never reads leaves its bytes in the system's buffers. */
async function slow({ url }: ServerProcess, reads: boolean): Promise<Socket> {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port) })
  await once(socket, 'connect')
  socket.write(
    `GET /v1/responses HTTP/1.1\r\nhost: localhost\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: ${Buffer.alloc(16).toString('base64')}\r\n\r\n`,
  )
  await once(socket, 'data')
  if (reads) socket.resume()
  else socket.pause()
  socket.on('error', () => {})
  for (let i = 0; i < STREAMS; i++) {
    const bytes = Buffer.from(JSON.stringify({ ...CREATE, stream_id: String(i) }))
    const head = Buffer.from([0x81, 0x80 | 126, bytes.length >> 8, bytes.length & 255, 0, 0, 0, 0])
    socket.write(Buffer.concat([head, bytes]))
  }
  return socket
}

/** Seconds until its response is over, and the text. */
async function reader({ url }: ServerProcess): Promise<{ seconds: number; text: string }> {
  const socket = await TestSocket.open(`${url}/v1/responses`, { host: 'localhost' })
  const from = performance.now()
  socket.send(CREATE)
  const ends = ['response.incomplete', 'response.failed', 'error']
  const event = await socket.next(({ type }) => ends.includes(type), PATIENCE)
  socket.socket.destroy()
  if (event.type !== 'response.incomplete') throw new Error(JSON.stringify(event))
  return { seconds: (performance.now() - from) / 1000, text: event.response.output[0].content[0].text }
}

/** Waits until the server has as many responses, or has had; and, if so, until none is in progress. */
async function until({ url }: ServerProcess, responses: number, over: boolean): Promise<void> {
  for (const from = performance.now(); performance.now() - from < PATIENCE; await sleep(50)) {
    const page = await (await fetch(`${url}/metrics`)).text()
    const open = metricOn(page, 'vllm:num_requests_running') + metricOn(page, 'vllm:num_requests_waiting')
    if (over ? open === 0 : open + metricOn(page, 'vllm:request_success_total') >= responses) return
  }
  throw new Error('the server has not taken what was asked')
}

async function wave(server: ServerProcess) {
  const from = performance.now()
  const answers = await Promise.all(Array.from({ length: half }, () => reader(server)))
  return { answers, seconds: (performance.now() - from) / 1000 }
}

async function measure(reads: boolean) {
  const server = await startServer(settings)
  const { text: right } = await reader(server)
  const before = residentBytes(server.pid)
  let most = before
  const watching = setInterval(() => {
    most = Math.max(most, residentBytes(server.pid))
  }, 100)
  const others = await Promise.all(Array.from({ length: half }, () => slow(server, reads)))
  // Who comes first is served first: all of these, in every run.
  await until(server, half * STREAMS, false)
  const amid = await wave(server)
  await until(server, 0, true)
  const after = await wave(server)
  clearInterval(watching)
  const open = others.filter((socket) => !socket.destroyed && !socket.readableEnded).length
  for (const socket of others) socket.destroy()
  await sleep(1000)
  const { status } = await fetch(`${server.url}/health`)
  const wrong = [...amid.answers, ...after.answers].filter(({ text }) => text !== right).length
  await server.close()
  return { amid, after, grown: (most - before) / 2 ** 20, wrong, status, open }
}

console.log(heading(`${2 * half} WebSockets, half of them asking for ${STREAMS} responses of ${tokens} tokens each`))
const rows: (Awaited<ReturnType<typeof measure>> & { reads: boolean })[] = []
for (const reads of [true, false, true, false]) rows.push({ reads, ...(await measure(reads)) })
const times = ({ answers }: Awaited<ReturnType<typeof wave>>) => answers.map(({ seconds }) => seconds)
console.log(
  table(
    ['the other half', 'readers', 'all [s]', 'p50 [s]', 'p99 [s]', 'memory [MiB]', 'wrong answers', 'slow sockets open'],
    rows.flatMap((row) =>
      (['amid', 'after'] as const).map((when) => [
        row.reads ? 'reads' : 'reads nothing',
        when === 'amid' ? 'amid its responses' : 'when they are over',
        row[when].seconds.toFixed(1),
        quantile(times(row[when]), 0.5).toFixed(2),
        quantile(times(row[when]), 0.99).toFixed(2),
        `+${row.grown.toFixed(0)}`,
        row.wrong,
        row.open,
      ]),
    ),
  ),
)
for (const when of ['amid', 'after'] as const) {
  const best = (reads: boolean) => Math.min(...rows.filter((row) => row.reads === reads).map((row) => row[when].seconds))
  const ratio = best(false) / best(true)
  const said = when === 'amid' ? 'amid the responses of slow ones' : 'beside slow ones whose responses wait'
  console.log(against(`readers ${said} take ${ratio.toFixed(2)} × what they take beside readers (≤ 1.1)`, ratio <= 1.1))
}
const most = (reads: boolean) => Math.max(...rows.filter((row) => row.reads === reads).map(({ grown }) => grown))
const more = most(false) - most(true)
console.log(against(`beside slow readers memory grows by ${more.toFixed(0)} MiB more (≤ 96)`, more <= 96))
console.log(
  against(
    'all answers are right, and the server is well',
    rows.every(({ wrong, status }) => wrong === 0 && status === 200),
  ),
)
