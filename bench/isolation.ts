/**
 * What one client can do to the others (issue 10, "What it must show", 2): 16 victims stream from the 135M shape on 16 adapters while an attacker sends, in turn, every shape of
 * expensive valid request (attacks.ts), on a few connections. Before and after each attack is a time without: the victims' waits between tokens are compared within seconds of
 * each other. Their tokens must be those that they get alone, /health must answer, memory must stay below what the settings allow. Exit code 1 if tokens differ or /health is late.
 * `node dist/bench/isolation.js [--seconds 4] [--rounds 3] [--only NAME] [--serve='--max-step-ms 0']`
 */
import { statSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { loadavg } from 'node:os'
import path from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { ATTACKS } from './attacks.ts'
import { streamAll } from './clients.ts'
import { model135m } from './model135m.ts'
import { against, heading, median, quantile, sleep, table } from './report.ts'
import { residentBytes, startServer } from './server-process.ts'
import { Victims } from './victims.ts'

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '4' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string', default: '' },
    serve: { type: 'string', default: '' },
  },
})
const VICTIMS = 16
const CHUNK = 256
const MIB = 2 ** 20
const HEALTH_MS = 50
const RATIO = 1.25
/** What is left of an attack is gone by then: its sequences are aborted within a step, its jobs within a second. */
const SETTLE = 1500
const seconds = Number(values.seconds)
const settings = { pool: 1024 * MIB, requests: 64, body: 16 * MIB, logprobs: 2 ** 25, processes: 2 }

console.log(
  heading(
    `${VICTIMS} victims on ${VICTIMS} adapters, 135M parameters in float32, one attacker; ${values.rounds} rounds of ${seconds} s`,
  ),
)
const model = model135m(VICTIMS)
const server = await startServer([
  model.directory,
  ...['--adapters', model.adapters, '--served-model-name', 'base', '--pool', `${settings.pool}`],
  ...['--max-concurrent-requests', `${settings.requests}`, '--body-limit', `${settings.body}`],
  ...['--max-logprobs-in-flight', `${settings.logprobs}`, '--tokenizer-processes', `${settings.processes}`],
  ...values.serve.split(' ').filter(Boolean),
])

const token = (seed: number, i: number) => 10 + ((seed * 7919 + i * i * 131 + i * 17) % 1400)
/** Milliseconds of a step that holds a full chunk and nothing else: of the steps of a prompt that is alone, on the average. */
async function fullStep(seed: number): Promise<number> {
  const chunks = 7
  const prompt = Array.from({ length: chunks * CHUNK }, (_, i) => token(1000 + seed, i))
  const { answers } = await streamAll(server.url, [{ model: 'base', prompt, maxTokens: 1 }])
  return answers[0].firstToken / chunks
}
const fullSteps: number[] = []
for (let i = 0; i < 4; i++) {
  const took = await fullStep(i)
  // The first one finds pages that were never touched.
  if (i > 0) fullSteps.push(took)
}

/** Answers of different lengths, so that the victims do not begin together. */
const victims = new Victims(
  server.url,
  model.names.map((name, i) => ({
    model: name,
    prompt: Array.from({ length: 64 }, (_, k) => token(i, k)),
    maxTokens: 300 + 13 * i,
  })),
)
await victims.learn()
victims.start()

const agent = new Agent({ keepAlive: true, maxSockets: 1 })
const fetched = (what: string) =>
  new Promise<string>((resolve, reject) => {
    get(`${server.url}${what}`, { agent }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (data) => {
        text += data
      })
      response.on('end', () =>
        response.statusCode === 200 ? resolve(text) : reject(new Error(`${what}: ${response.statusCode}`)),
      )
    }).on('error', reject)
  })

interface Watched {
  health: number[]
  running: number
  bytes: number
}

/** /health every 20 ms; sequences in the batch and memory a few times a second. */
async function watch(until: () => boolean): Promise<Watched> {
  const watched: Watched = { health: [], running: 0, bytes: 0 }
  for (let i = 0; !until(); i++) {
    const began = performance.now()
    await fetched('/health').catch(() => watched.health.push(Number.POSITIVE_INFINITY))
    watched.health.push(performance.now() - began)
    if (i % 10 === 0) {
      watched.bytes = Math.max(watched.bytes, residentBytes(server.pid))
      watched.running = Math.max(watched.running, await count('running').catch(() => 0))
    }
    await sleep(20)
  }
  return watched
}

interface Time extends Watched {
  from: number
  to: number
}

async function during(work: Promise<unknown>): Promise<Time> {
  const from = performance.now()
  let over = false
  const watching = watch(() => over)
  await work
  over = true
  const to = performance.now()
  return { from, to, ...(await watching) }
}

/** Answers by status. */
async function attacked(name: string): Promise<{ time: Time; answers: Record<string, number> }> {
  const worker = new Worker(new URL('./attacker.js', import.meta.url), { workerData: { name, url: server.url, seconds } })
  const failed = new Promise<never>((_, reject) => worker.once('error', reject))
  const said = () => Promise.race([failed, new Promise<unknown>((resolve) => worker.once('message', resolve))])
  await said()
  worker.postMessage('go')
  const told = said()
  const time = await during(told)
  await worker.terminate()
  return { time, answers: (await told) as Record<string, number> }
}

/** One attack, between two times without. */
interface Round {
  quiet: number[]
  waits: number[]
  health: number
  quietHealth: number
  running: number
  /** Sequences beside the victims' that are in the batch or wait when it is over. */
  left: number
  bytes: number
  answers: Record<string, number>
}

const count = async (metric: string) =>
  Number(new RegExp(`^vllm:num_requests_${metric}\\{.*\\} (\\d+)`, 'm').exec(await fetched('/metrics'))?.[1] ?? 0)

async function round(name: string): Promise<Round> {
  const before = await during(sleep(seconds * 500))
  const { time, answers } = await attacked(name)
  await sleep(SETTLE)
  const left = Math.max(0, (await count('running')) + (await count('waiting')) - VICTIMS)
  const after = await during(sleep(seconds * 500))
  const refused = victims.refused(time.from, time.to + SETTLE).length
  if (refused > 0) answers['victims refused'] = refused
  const measured = {
    quiet: [before, after].flatMap(({ from, to }) => victims.between(from, to, false)),
    waits: victims.between(time.from, time.to, true),
    health: Math.max(...time.health),
    quietHealth: Math.max(...before.health, ...after.health),
    running: time.running,
    left,
    bytes: Math.max(time.bytes, after.bytes),
    answers,
  }
  victims.forget(after.to)
  return measured
}

const delay = monitorEventLoopDelay({ resolution: 1 })
delay.enable()
const atRest = residentBytes(server.pid)
const results: { name: string; rounds: Round[]; ratio: number; gap: number }[] = []
for (const { name } of ATTACKS.filter((one) => one.name.includes(values.only))) {
  const rounds: Round[] = []
  for (let i = 0; i < Number(values.rounds); i++) rounds.push(await round(name))
  const ratio = median(rounds.map(({ quiet, waits }) => quantile(waits, 0.99) / quantile(quiet, 0.99)))
  results.push({ name, rounds, ratio, gap: median(rounds.map(({ waits }) => Math.max(...waits))) })
  console.error(`${name}: ${ratio.toFixed(2)} × (load of the machine ${loadavg()[0].toFixed(1)})`)
}
const ownDelay = delay.max / 1e6
await victims.stop()
for (let i = 0; i < 60 && (await count('running')) > 0; i++) await sleep(1000)
for (let i = 4; i < 7; i++) fullSteps.push(await fullStep(i))
await server.close()
agent.destroy()

const row = ({ name, rounds, ratio, gap }: (typeof results)[number]) => {
  const middle = (of: (round: Round) => number) => median(rounds.map(of)).toFixed(0)
  const answers = new Map<string, number>()
  for (const one of rounds)
    for (const [what, count] of Object.entries(one.answers)) answers.set(what, (answers.get(what) ?? 0) + count)
  return [
    name,
    `${middle(({ quiet }) => median(quiet))} / ${middle(({ quiet }) => quantile(quiet, 0.99))}`,
    `${middle(({ waits }) => median(waits))} / ${middle(({ waits }) => quantile(waits, 0.99))}`,
    `${ratio.toFixed(2)} ×`,
    `${middle(({ quiet }) => Math.max(...quiet))} / ${gap.toFixed(0)}`,
    Math.max(...rounds.map(({ running }) => running)),
    Math.max(...rounds.map(({ left }) => left)),
    `${middle(({ quietHealth }) => quietHealth)} / ${middle(({ health }) => health)}`,
    (Math.max(...rounds.map(({ bytes }) => bytes)) / MIB).toFixed(0),
    [...answers].map(([what, count]) => `${count} × ${what}`).join(', '),
  ]
}
const head = [
  ...['attack', 'quiet p50 / p99 ms', 'attacked p50 / p99 ms', 'p99', 'longest wait ms, quiet / attacked'],
  ...['rows in a step', 'left over', '/health max ms, quiet / attacked', 'RSS MiB', 'answers'],
]
console.log(table(head, results.map(row)))
// What others do on the machine only adds to it.
const full = Math.min(...fullSteps)
console.log(
  `\na step with a full chunk of ${CHUNK} tokens, alone: ${full.toFixed(0)} ms, the fastest of ${fullSteps.map((one) => one.toFixed(0)).join(', ')}`,
)
console.log(
  `this program's own loop stood still for ${ownDelay.toFixed(0)} ms at most; load of the machine ${loadavg()[0].toFixed(1)}`,
)
const weights = statSync(path.join(model.directory, 'model.safetensors')).size
/** What the settings allow, and what is there before anybody asks. A body is there as bytes and as what it says. */
const terms: [string, number][] = [
  ['weights, as a file and as they are computed with', 2 * weights],
  ['pool', settings.pool],
  ['adapters in host memory', VICTIMS * 9.8e6],
  ['requests × body limit × 2', settings.requests * settings.body * 2],
  ['logprobs in flight × 16 bytes', settings.logprobs * 16],
  ['the server and its tokenizer processes, 256 MiB each', (1 + settings.processes) * 256 * MIB],
]
const bound = terms.reduce((sum, [, bytes]) => sum + bytes, 0)
const all = results.flatMap(({ rounds }) => rounds)
const bytes = Math.max(...all.map((one) => one.bytes))
console.log(
  `memory that the settings allow:\n${terms.map(([what, size]) => `  ${(size / MIB).toFixed(0).padStart(5)} MiB ${what}`).join('\n')}`,
)
const rss = `RSS ≤ ${(bound / MIB).toFixed(0)} MiB: ${(bytes / MIB).toFixed(0)} MiB (${(atRest / MIB).toFixed(0)} before the first attack)`
console.log(against(rss, bytes <= bound))
const ratios = results.map(({ ratio }) => ratio)
const gaps = results.map(({ gap }) => gap)
const health = Math.max(...results.map(({ rounds }) => median(rounds.map((one) => one.health))))
const refused = all.reduce((sum, { answers }) => sum + (answers['victims refused'] ?? 0), 0)
/** Attacks within a bound, and the worst. */
const within = (values: number[], most: number) =>
  `${values.filter((one) => one <= most).length} of ${values.length} attacks, at worst ${Math.max(...values).toFixed(2)}`
console.log(
  against(`p99 between tokens ≤ ${RATIO} × without the attacker: ${within(ratios, RATIO)} ×`, Math.max(...ratios) <= RATIO),
)
console.log(
  against(
    `no wait above 2 × a full step (${(2 * full).toFixed(0)} ms): ${within(gaps, 2 * full)} ms`,
    Math.max(...gaps) <= 2 * full,
  ),
)
console.log(against(`no victim refused: ${refused} were`, refused === 0))
console.log(against(`/health ≤ ${HEALTH_MS} ms: ${health.toFixed(0)} ms at worst`, health <= HEALTH_MS))
console.log(against(`victims' tokens are those that they get alone: ${victims.differing} differ`, victims.differing === 0))
process.exitCode = victims.differing === 0 && health <= HEALTH_MS ? 0 : 1
