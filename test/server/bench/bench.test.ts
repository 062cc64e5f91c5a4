/** `lorikeet bench` against real servers: what it counts is what the server counted, and what fails is named. */
import { createServer, type RequestListener } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import t from 'tap'
import { benchOptions } from '../../../server/bench/options.ts'
import { reportTable, resultJson } from '../../../server/bench/report.ts'
import { type Results, resultsOf } from '../../../server/bench/results.ts'
import { type Run, run } from '../../../server/bench/run.ts'
import { readJson, temporaryFolder } from '../../support/repo.ts'
import { startServed } from '../../support/served.ts'
import { lorikeet } from '../cli/running.ts'

async function bench(
  url: string,
  line: string,
): Promise<{ ran: Run; results: Results; table: string; json: Record<string, unknown> }> {
  const options = benchOptions([url, ...line.split(' ')], {})
  const ran = await run(options)
  const results = resultsOf(ran, options)
  return { ran, results, table: reportTable(results, options, ran), json: resultJson(results, options, ran, new Date()) }
}

/** A counter of the page, over all of its labels or by what one line holds. */
async function counter(url: string, name: string, holds = ''): Promise<number> {
  const lines = (await (await fetch(`${url}/metrics`)).text()).split('\n')
  return lines
    .filter((line) => line.startsWith(`${name}{`) && line.includes(holds))
    .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

t.test('requests, tokens and adapters are what the server counted', async (t) => {
  const { url } = await startServed(t, { device: 'cpu' })
  const told = async () => [
    await counter(url, 'vllm:request_success_total'),
    await counter(url, 'vllm:prompt_tokens_total'),
    await counter(url, 'vllm:generation_tokens_total'),
  ]
  const lines = [
    '--adapters 5 --num-prompts 40 --max-concurrency 8 --random-input-len 40 --random-output-len 12 --random-range-ratio 0.5',
    '--lora-modules pirate json --num-prompts 20 --request-rate 200 --endpoint /v1/chat/completions --random-input-len 20 --random-output-len 8',
    '--num-prompts 10 --no-ignore-eos --temperature 0 --random-input-len 16 --random-output-len 10',
  ]
  for (const line of lines) {
    const before = await told()
    const { results, ran, table } = await bench(url, line)
    const after = await told()
    t.same(
      [results.completed, results.inputTokens, results.outputTokens],
      after.map((value, i) => value - before[i]),
      line,
    )
    t.equal(results.failed, 0)
    t.equal(results.completed, ran.outcomes.length)
    t.match(table, new RegExp(`Total generated tokens: +${results.outputTokens}\\b`))
  }
})

t.test('each adapter is asked for as often as it was meant to be', async (t) => {
  const { url } = await startServed(t, { device: 'cpu' })
  const { ran, results } = await bench(
    url,
    '--adapters 9 --lora-assignment round-robin --num-prompts 27 --random-input-len 8 --random-output-len 4',
  )
  t.equal(ran.adapters.length, 9)
  for (const adapter of ran.adapters) {
    t.equal(await counter(url, 'lorikeet_tenant_generation_tokens_total', `adapter="${adapter}"`), 12, adapter)
    t.equal(ran.outcomes.filter(({ model }) => model === adapter).length, 3)
  }
  t.equal(results.inputTokens, 27 * 8, 'prompts have exactly as many tokens as asked for')
  t.equal(results.outputTokens, 27 * 4)
  await t.rejects(bench(url, '--adapters 10'), { message: 'the server lists 9 adapters, fewer than --adapters 10' })
})

t.test('no more are in flight than is allowed, and each is as long as its parts', async (t) => {
  const { url } = await startServed(t, { device: 'cpu' })
  const { ran, results, json } = await bench(
    url,
    '--num-prompts 24 --max-concurrency 3 --random-input-len 16 --random-output-len 6 --save-result --save-detailed --goodput e2el:60000',
  )
  t.equal(results.peakConcurrent, 3)
  t.equal(results.goodput, results.requestThroughput)
  for (const { ttft, itl, latency, outputTokens } of ran.outcomes) {
    t.ok(Math.abs(ttft + itl.reduce((a, b) => a + b, 0) - latency) < 1e-6)
    t.equal(outputTokens, 6)
  }
  t.ok(
    ran.queued.slice(3).every((wait) => wait > 0),
    'the others waited for a place',
  )
  // Keys that vLLM's own scripts read.
  for (const key of 'date backend model_id num_prompts request_rate burstiness max_concurrency duration completed failed total_input_tokens total_output_tokens request_throughput output_throughput total_token_throughput mean_ttft_ms median_ttft_ms std_ttft_ms p99_ttft_ms mean_tpot_ms p99_tpot_ms mean_itl_ms p99_itl_ms input_lens output_lens ttfts itls generated_texts errors'.split(
    ' ',
  ))
    t.ok(Object.hasOwn(json, key), key)
  t.equal((json.itls as number[][]).length, 24)
  t.ok(Math.abs((json.ttfts as number[])[0] - ran.outcomes[0].ttft / 1000) < 1e-9, 'seconds, as vLLM writes them')
})

t.test('the command writes its file, takes its key from the environment, and fails when nothing succeeds', async (t) => {
  const { url } = await startServed(t, { device: 'cpu', 'api-key': ['sk-one'] })
  const folder = temporaryFolder(t)
  const args = ['bench', url, '--num-prompts', '3', '--random-input-len', '8', '--random-output-len', '4']
  const saved = [
    '--save-result',
    '--result-dir',
    path.join(folder, 'new'),
    '--result-filename',
    'it.json',
    '--metadata',
    'where=here',
  ]
  const { code, stdout } = await lorikeet([...args, ...saved], { OPENAI_API_KEY: 'sk-one' }).ended
  t.equal(code, 0)
  t.match(stdout, /^=+ Serving Benchmark Result =+\nSuccessful requests: +3 +\nFailed requests: +0 +\n/)
  t.match(readJson(path.join(folder, 'new/it.json')), {
    completed: 3,
    total_output_tokens: 12,
    where: 'here',
    request_rate: 'inf',
  })
  const none = await lorikeet(args, { OPENAI_API_KEY: '' }).ended
  t.equal(none.code, 1)
  t.match(none.stderr, /v1\/models answers 401: give --api-key, or set OPENAI_API_KEY/)
  const failing = await lorikeet([...args, '--lora-modules', 'nobody', '--api-key', 'sk-one']).ended
  t.equal(failing.code, 1)
  t.match(failing.stdout, /Successful requests: +0 /)
  t.match(failing.stdout, /\n3 × 404 model_not_found: .*nobody/)
  t.equal((await lorikeet(['bench', 'http://127.0.0.1:1', '--num-prompts', '1']).ended).code, 1)
  t.equal((await lorikeet(['bench', url, '--num-promts', '1']).ended).code, 2)
})

t.test('streams that break are failures, each with its name', async (t) => {
  const chunk = (text: string) => `data: ${JSON.stringify({ choices: [{ index: 0, text }] })}\n\n`
  const usage = `data: ${JSON.stringify({ choices: [], usage: { prompt_tokens: 8, completion_tokens: 5 } })}\n\n`
  let asked = 0
  const answers: RequestListener = (request, response) => {
    request.resume()
    if (request.url === '/v1/models') return void response.end(JSON.stringify({ data: [{ id: 'm' }] }))
    if (request.url === '/tokenize') return void response.writeHead(404).end()
    const stream = (...pieces: string[]) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' })
      for (const piece of pieces) response.write(piece)
    }
    switch (asked++ % 6) {
      case 0: {
        // One letter at a time, two bytes of UTF-8 apart, and comments between.
        stream(': ping\n\n')
        for (const byte of Buffer.from(`${chunk('é')}: ping\n\n${chunk('b')}${usage}data: [DONE]\n\n`))
          response.write(Buffer.of(byte))
        return void response.end()
      }
      case 1:
        stream(chunk('a'))
        return void setImmediate(() => response.destroy())
      case 2:
        stream(chunk('a'))
        return void response.end()
      case 3:
        stream(chunk('a'), 'data: {"error":{"message":"it broke","code":"engine_unavailable"}}\n\n', 'data: [DONE]\n\n')
        return void response.end()
      case 4:
        return void response
          .writeHead(429, { 'content-type': 'application/json' })
          .end('{"error":{"message":"come again","code":"rate_limited"}}')
      default:
        return void request.socket.destroy()
    }
  }
  const server = createServer(answers).listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await new Promise((resolve) => server.once('listening', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { results, ran } = await bench(url, '--num-prompts 12 --max-concurrency 1 --random-input-len 8 --random-output-len 5')
  t.equal(results.completed, 2)
  t.same([results.inputTokens, results.outputTokens], [16, 10], 'as usage says')
  t.equal(ran.outcomes[0].text, 'éb')
  t.equal(ran.outcomes[0].itl.length, 1)
  t.same(results.errors.map(({ name, count }) => [name, count]).sort(), [
    ['429 rate_limited', 2],
    ['ECONNRESET', 2],
    ['engine_unavailable', 2],
    ['the stream ended early', 4],
  ])
  t.equal(results.errors.find(({ name }) => name === 'engine_unavailable')?.detail, 'it broke')
})
