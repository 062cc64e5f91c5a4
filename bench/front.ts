/**
 * What HTTP costs a token, over an engine that computes nothing: its thread tells all streams of a token at once, every 50 or 250 ms; the client of the real engine hands that to the
 * real application, and clients in another process read. This process is the server.
 *   targets: 1,000 streams every 50 ms: written ≤ 20 ms after the engine told it; 5,000 every 250 ms: ≤ 100 ms; ≤ 20 µs of the main thread a token in both;
 *   one stream among 1,000 silent ones: ≤ 1 ms p99
 * On cores that others use, `chrt -r 1` before the command gives this and its clients real-time priority: lateness is otherwise theirs.
 * `node dist/bench/front.js [--only NAMES] [--seconds 6]`; NAMES: of the rows to measure, with | between them.
 */
import { execSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { EngineClient } from '../runtime/engine/client.ts'
import type { EngineInfo, EngineSnapshot } from '../runtime/index.ts'
import { configOf } from '../server/config/config.ts'
import { CostAccount } from '../server/cost.ts'
import { ServerMetrics } from '../server/metrics/metrics.ts'
import { ModelTokenizer } from '../server/tokenizer/tokenizer.ts'
import { fakeServing } from '../test/support/fake-serving.ts'
import { demoPrompts } from '../test/support/prompts.ts'
import { notLoaded, testRegistry } from '../test/support/registry.ts'
import { demoModel, repoRoot } from '../test/support/repo.ts'
import type { Lateness, Open, Report } from './front/clients.ts'
import type { EngineThreadData, Pace } from './front/engine-thread.ts'
import { against, heading, quantile, sleep, table } from './report.ts'

const { values } = parseArgs({
  options: { only: { type: 'string', default: '' }, seconds: { type: 'string', default: '6' } },
})
/** Steps before those that count. */
const WARM = 20
const STEPS = 4096

/** Who takes the engine's outputs, and where its streams are asked for. */
interface Front {
  port?: number
  path: string
  body: object
  /** Events of a stream that are no token. */
  before?: number
}

interface Load {
  streams: number
  every: number
  /** How many of the streams get tokens; all. */
  busy?: number
}

interface Measured {
  /** Milliseconds from telling to the end of the turn in which all was written. */
  written: number[]
  /** Of that, since the message has come, for which others had the core: this machine's other work. */
  waited: number[]
  /** Microseconds of the main thread a token, and of the whole process. */
  main: number
  process: number
  came?: Lateness
}

const toldAt = new Float64Array(new SharedArrayBuffer(8 * STEPS))
const text = ModelTokenizer.load(demoModel('base')).encode(readFileSync(path.join(repoRoot(), 'LICENSE'), 'utf8'), {
  addSpecialTokens: false,
})
const worker = new Worker(path.join(import.meta.dirname, 'front/engine-thread.js'), {
  workerData: { text, toldAt } satisfies EngineThreadData,
})
const info = {
  ...{
    modelType: 'llama',
    vocabSize: 1536,
    addedTokens: 0,
    maxModelLen: 1 << 20,
    eosTokenIds: [2, 5],
    blockSize: 16,
    blockCount: 1 << 20,
  },
  ...{
    blockBytes: 4096,
    frameBytes: 4096,
    device: 'cpu',
    deviceName: 'none',
    dtype: 'float32',
    cacheDtype: 'float32',
    adapterDtype: 'float16',
  },
} as EngineInfo
const engine = new EngineClient(worker, info, { residentAdapters: 0, blocks: {}, counters: {} } as EngineSnapshot)
const { registry, memory } = testRegistry(notLoaded)
const metrics = new ServerMetrics(engine, 'demo', { registry, memory })
const clients = fork(path.join(import.meta.dirname, 'front/clients.js'), { execArgv: [] })

/** Milliseconds of the machine's monotonic clock. */
const clock = () => Number(process.hrtime.bigint()) / 1e6

/** Milliseconds for which the main thread has had a core, and for which it was ready and had none. */
function mainThread() {
  const [ran, waited] = readFileSync(`/proc/self/task/${process.pid}/schedstat`, 'utf8').split(' ')
  return { ran: Number(ran) / 1e6, waited: Number(waited) / 1e6 }
}

async function ask<T>(message: Open | Report): Promise<T> {
  clients.send(message)
  const [answer] = await once(clients, 'message')
  if (answer.type === 'failed') throw new Error(answer.message)
  return answer
}

/** Tells the open sequences at a load's pace; what it cost from step WARM on. */
function tell({ streams, every, busy = streams }: Load, steps: number): Promise<Omit<Measured, 'came'>> {
  return new Promise((resolve) => {
    const written: number[] = []
    const waited: number[] = []
    let step = 0
    let before = { main: 0, process: process.cpuUsage() }
    let came = 0
    const onMessage = () => {
      came = mainThread().waited
    }
    worker.prependListener('message', onMessage)
    engine.onStep = (times) => {
      metrics.stepped(times)
      // After what the listeners put off to the end of this turn: Node writes then.
      setImmediate(() => {
        const at = clock()
        const main = mainThread()
        const now = step++
        if (now === WARM - 1) before = { main: main.ran, process: process.cpuUsage() }
        if (now < WARM || now >= steps - 1) return
        written.push(at - toldAt[now])
        waited.push(main.waited - came)
        if (now < steps - 2) return
        worker.off('message', onMessage)
        const tokens = written.length * busy
        const { user, system } = process.cpuUsage(before.process)
        resolve({ written, waited, main: ((main.ran - before.main) * 1000) / tokens, process: (user + system) / tokens })
      })
    }
    worker.postMessage({ type: 'pace', every, steps, sequences: busy } satisfies Pace)
  })
}

async function measure({ port, path, body, before = 0 }: Front, load: Load): Promise<Measured> {
  const steps = Math.min(STEPS, WARM + Math.ceil((Number(values.seconds) * 1000) / load.every))
  if (port === undefined) for (let i = 0; i < load.streams; i++) submit(`${i}`, () => {})
  else {
    const full = JSON.stringify({ ...body, max_tokens: steps })
    await ask({ type: 'open', port, path, body: full, count: load.streams, tokens: steps - 1, before })
  }
  const measured = await tell(load, steps)
  await sleep(load.every + 500)
  if (port === undefined) return measured
  const came = await ask<Lateness>({ type: 'report', toldAt: [...toldAt.subarray(0, steps - 1)], from: WARM })
  // Their ends are no part of the next one's.
  await sleep(500)
  return { ...measured, came }
}

function submit(id: string, onOutput: () => void): void {
  const sampling = {
    ...{ maxTokens: STEPS, minTokens: 0, temperature: 1, topP: 1, topK: 0, minP: 0, ignoreEos: true },
    ...{ presencePenalty: 0, frequencyPenalty: 0, repetitionPenalty: 1, logprobs: -1, promptLogprobs: -1 },
    ...{ logitBias: [], stopTokenIds: [], eosTokenIds: [] },
  }
  engine.submit({ id, promptIds: [1], sampling, adapters: [], arrival: 0 }, onOutput)
}

/** A plain server that writes a ready chunk for every output: as a response of Node's, or as bytes to its socket, which nothing can undercut. */
async function bare(event: string, toSocket: boolean): Promise<number> {
  const frame = `${event.length.toString(16)}\r\n${event}\r\n`
  let id = 0
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
    response.flushHeaders()
    const { socket } = response
    submit(`bare-${id++}-${toSocket}`, toSocket ? () => socket!.write(frame, 'latin1') : () => response.write(event))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** A chunk as clients get it, ready. */
const EVENT =
  'data: {"id":"chatcmpl-0123456789abcdef01234567","object":"chat.completion.chunk","created":1764183552,"model":"demo","system_fingerprint":"lorikeet-0.1.0",' +
  '"choices":[{"index":0,"delta":{"content":" some"},"logprobs":null,"finish_reason":null}]}\n\n'

const allowed = execSync('ulimit -n', { encoding: 'utf8' }).trim()
if (Number(allowed) < 5100)
  throw new Error(`5,000 connections need as many file handles, and this shell allows ${allowed}: ulimit -n 6000`)
const teardowns: (() => Promise<void>)[] = []
const prompts = demoPrompts()
const { url } = await fakeServing({ teardown: (handler) => teardowns.push(handler) }, () => {}, {
  engine,
  metrics,
  prompts,
  limits: configOf({ 'body-limit': 1 << 20, 'max-concurrent-requests': 10_000 }),
  cost: new CostAccount({ ...configOf({}), maxSequencesInFlight: 10_000 }),
})
prompts.warm()
const port = Number(new URL(url).port)
const messages = [{ role: 'user', content: 'Tell me a story about a green house and a fox.' }]
const chat = { port, path: '/v1/chat/completions', body: { model: 'demo', messages, stream: true, ignore_eos: true }, before: 1 }
const prompt = messages[0].content
const completions = { port, path: '/v1/completions', body: { model: 'demo', prompt, stream: true, ignore_eos: true } }
const asking = (more: object): Front => ({ ...chat, body: { ...chat.body, ...more } })
const nothing = { path: '', body: {} }
const atSocket = { port: await bare(EVENT, true), path: '/', body: {} }
const response = { port: await bare(EVENT, false), path: '/', body: {} }
const thousand = { streams: 1000, every: 50 }
const five = { streams: 5000, every: 250 }
const one = { streams: 1001, every: 10, busy: 1 }
const usage = { stream_options: { include_usage: true, continuous_usage_stats: true } }

/** Name, who, how many, and what the 99th percentile, every step and a token's share of the main thread may take. */
const cases: [string, Front, Load, { p99?: number; max?: number; main?: number }][] = [
  ['1,000 · the message alone, to nobody', nothing, thousand, {}],
  ['1,000 · ready bytes to a bare socket', atSocket, thousand, {}],
  ["1,000 · ready chunk, Node's response", response, thousand, {}],
  ['1,000 · chat', chat, thousand, { max: 20, main: 20 }],
  ['1,000 · completions', completions, thousand, { max: 20, main: 20 }],
  ['1,000 · chat, usage in every chunk', asking(usage), thousand, {}],
  ['1,000 · chat, 5 logprobs a token', asking({ logprobs: true, top_logprobs: 5 }), thousand, {}],
  ['5,000 · ready bytes to a bare socket', atSocket, five, {}],
  ["5,000 · ready chunk, Node's response", response, five, {}],
  ['5,000 · chat', chat, five, { max: 100, main: 20 }],
  ['5,000 · completions', completions, five, { max: 100, main: 20 }],
  ['one of 1,001 · ready bytes to a bare socket', atSocket, one, {}],
  ['one of 1,001 · chat', chat, one, { p99: 1 }],
]

console.log(heading('The front alone: what HTTP costs a token over an engine that computes nothing'))
console.log(`ulimit -n ${allowed}; ${text.length} tokens of text; a chunk of ${EVENT.length} bytes\n`)
const rows: string[][] = []
const verdicts: string[] = []
const show = (ms: number) => ms.toFixed(2)
let floor = 0
for (const [name, front, load, targets] of cases) {
  if (values.only !== '' && !values.only.split('|').includes(name)) continue
  const { written, waited, main, process: whole, came } = await measure(front, load)
  const [p50, p99, max] = [0.5, 0.99, 1].map((q) => quantile(written, q))
  const alone = written.map((ms, i) => ms - waited[i])
  const busy = load.busy ?? load.streams
  if (came && came.tokens !== written.length * busy)
    throw new Error(`${name}: ${came.tokens} tokens came of ${written.length * busy}`)
  if (front === atSocket) floor = main
  rows.push([
    name,
    ...[p50, p99, max].map(show),
    show(quantile(alone, 1)),
    ...(came ? [came.p50, came.p99, came.max].map(show) : ['', '', '']),
    main.toFixed(1),
    floor > 0 ? `${(main / floor).toFixed(2)} ×` : '',
    whole.toFixed(1),
  ])
  if (targets.max) verdicts.push(against(`${name}: written ≤ ${targets.max} ms: ${show(max)}`, max <= targets.max))
  if (targets.p99) verdicts.push(against(`${name}: p99 ≤ ${targets.p99} ms: ${show(p99)}`, p99 <= targets.p99))
  if (targets.main) verdicts.push(against(`${name}: ≤ ${targets.main} µs a token: ${main.toFixed(1)}`, main <= targets.main))
}
console.log(
  table(
    [
      'who',
      'written p50 ms',
      'p99',
      'max',
      'max less waiting',
      'read p50 ms',
      'p99',
      'max',
      'main µs/token',
      'of the floor',
      'process µs/token',
    ],
    rows,
  ),
)
console.log(verdicts.join('\n'))
clients.disconnect()
for (const teardown of teardowns) await teardown()
process.exit()
