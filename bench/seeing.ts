/**
 * What being seen costs: four servers that differ in what they tell of requests (nothing, a line in the log, spans to a collector, both), asked by the same clients in turn, so that whatever else the machine
 * does meets all of them. Throughput is the whole's; the server's CPU time a request is its own alone, and says more on a machine that others use.
 *   target: both ≤ 2 % of throughput
 * The demo model is the worst case that there is: its answers take a few milliseconds. `--model 135m` is a random model of 135 million parameters, as small as people serve.
 * `node dist/bench/seeing.js [--model demo|135m] [--turns 10] [--requests 160] [--clients 16] [--tokens 32]`
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parseArgs } from 'node:util'
import { model135m } from './model135m.ts'
import { against, heading, median, table } from './report.ts'
import { allRan, mainRan, metricOf, type ServerProcess, startServer } from './server-process.ts'

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'demo' },
    turns: { type: 'string', default: '10' },
    requests: { type: 'string', default: '160' },
    clients: { type: 'string', default: '16' },
    tokens: { type: 'string', default: '32' },
  },
})
const [turns, requests, clients, tokens] = [values.turns, values.requests, values.clients, values.tokens].map(Number)
const TARGET = 0.02

interface Turn {
  /** Tokens a second, of all clients together. */
  rate: number
  /** Milliseconds of CPU a request: the server's main thread, and all of its threads. */
  main: number
  all: number
}

/** Streams, as most clients ask. */
async function ask({ url }: ServerProcess): Promise<void> {
  const response = await fetch(`${url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'Once upon a time there was', max_tokens: tokens, ignore_eos: true, stream: true }),
  })
  const text = await response.text()
  if (response.status !== 200 || !text.endsWith('data: [DONE]\n\n')) throw new Error(`${response.status}: ${text.slice(0, 200)}`)
}

async function turn(server: ServerProcess): Promise<Turn> {
  const before = { main: mainRan(server), all: allRan(server) }
  const from = performance.now()
  let left = requests
  const client = async () => {
    while (left-- > 0) await ask(server)
  }
  await Promise.all(Array.from({ length: clients }, client))
  const seconds = (performance.now() - from) / 1000
  return {
    rate: (requests * tokens) / seconds,
    main: (mainRan(server) - before.main) / requests,
    all: (allRan(server) - before.all) / requests,
  }
}

// A collector that takes everything and looks at nothing.
const collector = createServer((request, response) => {
  request.resume().once('end', () => response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end())
})
await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve))
const endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}/v1/traces`
const base = values.model === 'demo' ? [] : [model135m(1).directory]
const kinds: Record<string, string[]> = {
  nothing: [],
  log: ['--log-level', 'info'],
  traces: ['--otlp-traces-endpoint', endpoint],
  both: ['--log-level', 'info', '--otlp-traces-endpoint', endpoint],
}
const servers: Record<string, ServerProcess> = {}
for (const [kind, args] of Object.entries(kinds)) servers[kind] = await startServer([...base, ...args])
const told: Record<string, Turn[]> = {}
try {
  for (const server of Object.values(servers)) await turn(server)
  for (let i = 0; i < turns; i++) {
    // Whoever follows whom changes, too.
    const order = Object.keys(servers)
    for (const kind of [...order.slice(i % order.length), ...order.slice(0, i % order.length)]) {
      told[kind] ??= []
      told[kind].push(await turn(servers[kind]))
    }
  }
  console.log(
    heading(
      `What being seen costs: ${values.model}, ${clients} clients, ${requests} requests of ${tokens} tokens a turn, ${turns} turns`,
    ),
  )
  const bestOf = (kind: string) => Math.max(...told[kind].map(({ rate }) => rate))
  const rateOf = (kind: string) => median(told[kind].map(({ rate }) => rate))
  // Of each turn against nothing's of the same round: what the machine did meanwhile met both.
  const ratioOf = (kind: string) => median(told[kind].map(({ rate }, i) => rate / told.nothing[i].rate))
  const cpuOf = (kind: string, what: 'main' | 'all') => median(told[kind].map((one) => one[what]))
  const percent = (ratio: number) => `${((ratio - 1) * 100).toFixed(1)} %`
  const rows = Object.keys(kinds).map((kind) => [
    kind,
    rateOf(kind).toFixed(0),
    bestOf(kind).toFixed(0),
    percent(ratioOf(kind)),
    percent(bestOf(kind) / bestOf('nothing')),
    cpuOf(kind, 'main').toFixed(3),
    cpuOf(kind, 'all').toFixed(3),
    percent(cpuOf(kind, 'all') / cpuOf('nothing', 'all')),
  ])
  const head = ['told', 'tokens/s', 'best', 'to nothing', 'best to best', 'main ms/request', 'all ms/request', 'to nothing']
  console.log(table(head, rows))
  const loss = 1 - ratioOf('both')
  console.log(against(`both: ≤ ${TARGET * 100} % of throughput (${(loss * 100).toFixed(1)} %)`, loss <= TARGET))
  for (const kind of ['traces', 'both']) {
    const of = (outcome: string) => metricOf(servers[kind].url, 'lorikeet_trace_spans_total', `outcome="${outcome}"`)
    console.log(`${kind}: ${await of('made')} spans made, ${await of('sent')} sent so far, ${await of('failed')} failed`)
  }
} finally {
  for (const server of Object.values(servers)) await server.close()
  collector.closeAllConnections()
  collector.close()
}
