/**
 * What long prompts cost the others: four clients send bodies of a megabyte of text while streams run, one after the other, and /health is asked every 20 ms, on the demo model.
 * `node dist/bench/long-prompts.js [--rounds 3] [--server DIR]`; DIR is a built checkout to compare with.
 */
import { spawn } from 'node:child_process'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { seeded } from '../test/support/pace.ts'
import { repoRoot } from '../test/support/repo.ts'
import { streamAll } from './clients.ts'
import { median, quantile, table } from './report.ts'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '3' }, server: { type: 'string', default: repoRoot() } },
})
const CLIENTS = 4
const BYTES = 1 << 20
/** Of one prompt: the demo model's context holds no more than a few. Many of them are a body. */
const PROMPT = 4000
const TOKENS = 600

/** Loaded into the server: says its longest gap every time it is asked on SIGUSR2. */
const PROBE = `
import { monitorEventLoopDelay } from 'node:perf_hooks'
const delay = monitorEventLoopDelay({ resolution: 1 })
delay.enable()
process.on('SIGUSR2', () => {
  console.log('gap', delay.max / 1e6)
  delay.reset()
})`

async function start() {
  const probe = `data:text/javascript,${encodeURIComponent(PROBE)}`
  const cli = path.join(values.server, 'dist/server/cli.js')
  const child = spawn(process.execPath, ['--import', probe, cli, 'serve', '--port', '0'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })
  const said = (pattern: RegExp) =>
    new Promise<string>((resolve) => {
      lines.on('line', (line) => {
        const found = pattern.exec(line)
        if (found) resolve(found[1])
      })
    })
  const url = await said(/(http:\/\/\S+)/)
  const gap = async () => {
    const answer = said(/^gap (.*)/)
    child.kill('SIGUSR2')
    return Number(await answer)
  }
  return { url, gap, stop: () => child.kill() }
}

function bodyOf(seed: number): string {
  const random = seeded(seed)
  const prompt: string[] = []
  for (let bytes = 0; bytes < BYTES; bytes += PROMPT) {
    let text = ''
    while (text.length < PROMPT) text += ` ${random.pick(['fox', 'ball', 'house', 'green'])}${random.below(1e6)}`
    prompt.push(text)
  }
  return JSON.stringify({ prompt, max_tokens: 1, truncate_prompt_tokens: 1 })
}

async function post(url: string, body: string): Promise<void> {
  const response = await fetch(`${url}/v1/completions`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`)
  await response.arrayBuffer()
}

/** Asks until `done`; milliseconds of each answer. */
async function health(url: string, done: () => boolean): Promise<number[]> {
  const times: number[] = []
  while (!done()) {
    const began = performance.now()
    await (await fetch(`${url}/health`)).arrayBuffer()
    times.push(performance.now() - began)
    await sleep(20)
  }
  return times
}

/** One stream after the other until `done`; milliseconds between the arrivals of tokens. */
async function streams(url: string, done: () => boolean): Promise<number[]> {
  const between: number[] = []
  while (!done()) {
    const { answers } = await streamAll(url, [{ model: 'demo', prompt: [334, 584], maxTokens: TOKENS }])
    for (const wait of answers[0].between) between.push(wait)
  }
  return between
}

async function round(server: Awaited<ReturnType<typeof start>>, bodies: string[]): Promise<number[]> {
  await server.gap()
  let over = false
  const asked = health(server.url, () => over)
  const streamed = streams(server.url, () => over)
  await sleep(300)
  const began = performance.now()
  await Promise.all(bodies.map((body) => post(server.url, body)))
  const took = (performance.now() - began) / 1000
  if (bodies.length === 0) await sleep(3000)
  over = true
  const [times, between] = await Promise.all([asked, streamed])
  return [await server.gap(), quantile(times, 0.99), Math.max(...between), quantile(between, 0.99), took]
}

const server = await start()
await post(server.url, bodyOf(0))
const idle = await round(server, [])
const rounds: number[][] = []
for (let i = 0; i < Number(values.rounds); i++)
  rounds.push(
    await round(
      server,
      Array.from({ length: CLIENTS }, (_, c) => bodyOf(1 + i * CLIENTS + c)),
    ),
  )
server.stop()
const names = [
  'longest gap of the event loop, ms',
  '/health p99, ms',
  'longest wait for a token, ms',
  'p99 wait for a token, ms',
  'megabytes answered after, s',
]
console.log(
  table(
    ['', 'the stream alone', `with ${CLIENTS} × 1 MB (middle of ${values.rounds})`],
    names.map((name, i) => [name, idle[i].toFixed(1), median(rounds.map((one) => one[i])).toFixed(1)]),
  ),
)
