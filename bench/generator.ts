/**
 * What the load generator itself can do (`lorikeet bench`): against a server in a process of its own that has every answer ready and computes nothing, so that what is measured is the generator's own
 * ceiling. One process has one core for it; the stub gets another.
 * `node dist/bench/generator.js [--requests 2000] [--concurrency 64] [--tokens 64] [--rounds 3]`
 */
import { fork } from 'node:child_process'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { parseArgs } from 'node:util'
import { benchOptions } from '../server/bench/options.ts'
import { resultsOf } from '../server/bench/results.ts'
import { run } from '../server/bench/run.ts'
import { heading, median, table } from './report.ts'

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '2000' },
    concurrency: { type: 'string', default: '64' },
    tokens: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '3' },
  },
})
const tokens = Number(values.tokens)

/** Each token is an event of the size of the server's own, in a piece of its own. */
function stub(): void {
  const event = `data: ${JSON.stringify({ id: 'cmpl-0123456789abcdef01234567', object: 'text_completion', created: 1_795_792_399, model: 'adapter', system_fingerprint: 'lorikeet-0.1.0', choices: [{ index: 0, text: ' word', logprobs: null, finish_reason: null }] })}\n\n`
  const end = `data: ${JSON.stringify({ choices: [], usage: { prompt_tokens: 64, completion_tokens: tokens, total_tokens: 64 + tokens } })}\n\ndata: [DONE]\n\n`
  const server = createServer((request, response) => {
    request.resume()
    if (request.url === '/v1/models') return void response.end(JSON.stringify({ data: [{ id: 'adapter' }] }))
    if (request.url === '/tokenize') return void response.end(JSON.stringify({ tokens: [1, 2, 3, 4] }))
    response.writeHead(200, { 'content-type': 'text/event-stream' })
    let sent = 0
    const next = () => {
      if (sent++ < tokens) {
        response.write(event)
        setImmediate(next)
      } else response.end(end)
    }
    next()
  }).listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port))
}

async function measure(): Promise<void> {
  const child = fork(new URL(import.meta.url), process.argv.slice(2))
  const port = await new Promise<number>((resolve) => child.once('message', (port) => resolve(port as number)))
  const line = `http://127.0.0.1:${port} --num-prompts ${values.requests} --max-concurrency ${values.concurrency} --random-input-len 64 --random-output-len ${tokens}`
  const options = benchOptions(line.split(' '), {})
  const rows: number[][] = []
  for (let round = -1; round < Number(values.rounds); round++) {
    const before = process.cpuUsage()
    const results = resultsOf(await run(options), options)
    const { user, system } = process.cpuUsage(before)
    if (results.failed > 0) throw new Error(`${results.failed} failed`)
    // Microseconds of this process for a token.
    if (round >= 0) rows.push([results.requestThroughput, results.outputThroughput, (user + system) / results.outputTokens])
  }
  child.kill()
  console.log(heading(`The load generator alone: ${values.requests} requests of ${tokens} tokens, ${values.concurrency} at once`))
  const [requests, output, cost] = [0, 1, 2].map((column) => median(rows.map((row) => row[column])))
  console.log(
    table(['requests/s', 'tokens/s', 'µs of its core a token'], [[requests.toFixed(0), output.toFixed(0), cost.toFixed(1)]]),
  )
}

if (process.send) stub()
else await measure()
