/**
 * Fair scheduling through the whole server: a tenant that floods (100 long requests at once, again and again) beside a quiet one, under `fair` and under `fcfs`; and two tenants that always want more, one with long
 * prompts and one with long answers. The flood's answers come whole: streamed, each of its tokens would take time of the two cores in this process, which is not the server's.
 *   targets: the quiet one's p99 first token under `fair` ≤ that of being alone plus three steps of the loaded batch; service of the two within 10 %
 * `node dist/bench/fairness.js [--seconds 60] [--flags='--max-step-ms 8']`
 */
import { Agent, request } from 'node:http'
import { parseArgs } from 'node:util'
import { demoModel } from '../test/support/repo.ts'
import { streamCompletion } from './clients.ts'
import { promptOf } from './gpu/engine.ts'
import { against, heading, quantile, sleep, table } from './report.ts'
import { metricOf, type ServerProcess, startServer } from './server-process.ts'

const { values } = parseArgs({ options: { seconds: { type: 'string', default: '60' }, flags: { type: 'string', default: '' } } })
const seconds = Number(values.seconds)
const HEADER = 'x-tenant'
const VOCABULARY = 1536
const FLOOD = 100
/** Milliseconds between an answer of the quiet tenant's and its next request. */
const PAUSE = 100

let prompts = 0
/** One streamed answer of a tenant. */
const ask = (
  url: string,
  agent: Agent,
  tenant: string,
  promptTokens: number,
  maxTokens: number,
  onTokens?: (count: number) => void,
) =>
  streamCompletion(
    url,
    agent,
    { model: 'base', prompt: promptOf(++prompts, promptTokens, VOCABULARY), maxTokens },
    { headers: { [HEADER]: tenant }, onTokens },
  )

/** One long answer of the flood. Not by fetch, which takes more of the thread that also sees the quiet tenant's tokens. */
function askWhole(url: string, agent: Agent): Promise<void> {
  const prompt = promptOf(++prompts, 60, VOCABULARY)
  const headers = { 'content-type': 'application/json', [HEADER]: 'flood' }
  return new Promise((resolve, reject) => {
    const client = request(`${url}/v1/completions`, { method: 'POST', agent, headers }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`))
      response.resume().on('end', resolve)
    })
    client.on('error', reject)
    client.end(JSON.stringify({ model: 'base', prompt, max_tokens: 300, temperature: 0, ignore_eos: true }))
  })
}

/** Milliseconds of a step, from here on. */
async function stepTimes(url: string): Promise<() => Promise<number>> {
  const read = async () => [await metricOf(url, 'lorikeet_step_seconds_sum'), await metricOf(url, 'lorikeet_steps_total')]
  const [time, steps] = await read()
  return async () => {
    const [timeNow, stepsNow] = await read()
    return ((timeNow - time) / (stepsNow - steps)) * 1000
  }
}

const start = (scheduling: string, more: string[] = []) =>
  startServer([
    demoModel('base'),
    '--served-model-name',
    'base',
    '--scheduling',
    scheduling,
    '--tenant-header',
    HEADER,
    '--max-concurrent-requests',
    '4096',
    ...more,
    ...values.flags.split(' ').filter(Boolean),
  ])

/** First tokens of a quiet tenant that asks every so often. */
async function quietTenant(server: ServerProcess, agent: Agent, ms: number): Promise<number[]> {
  const first: number[] = []
  for (const end = performance.now() + ms; performance.now() < end; await sleep(PAUSE))
    first.push((await ask(server.url, agent, 'quiet', 20, 8)).firstToken)
  return first
}

/** The quiet tenant's first tokens, and the loaded batch's steps. */
async function flooded(scheduling: string): Promise<{ first: number[]; step: number }> {
  // A batch of 32 rows, so that the flood's hundred do not fit.
  const server = await start(scheduling, ['--max-sequences', '32'])
  const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })
  let over = false
  const flood = Array.from({ length: FLOOD }, async () => {
    while (!over) await askWhole(server.url, agent)
  })
  await sleep(2000)
  const steps = await stepTimes(server.url)
  const first = await quietTenant(server, agent, seconds * 1000)
  const step = await steps()
  over = true
  await Promise.allSettled(flood)
  agent.destroy()
  await server.close()
  return { first, step }
}

async function alone(): Promise<number[]> {
  const server = await start('fair', ['--max-sequences', '32'])
  const agent = new Agent({ keepAlive: true })
  const first = await quietTenant(server, agent, Math.min(seconds, 20) * 1000)
  agent.destroy()
  await server.close()
  return first
}

/** Service of two tenants that always want more: tokens of prompts once, of answers twice. */
async function backlogged(scheduling: string): Promise<{ prompts: number; answers: number }> {
  const server = await start(scheduling, ['--max-sequences', '16'])
  const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })
  const service = { prompts: 0, answers: 0 }
  let over = false
  let counting = false
  const lane = async (tenant: keyof typeof service, promptTokens: number, maxTokens: number) => {
    while (!over) {
      let began = false
      await ask(server.url, agent, tenant, promptTokens, maxTokens, (count) => {
        if (!counting) return
        // Its prompt has been computed with the first token.
        service[tenant] += 2 * count + (began ? 0 : promptTokens)
        began = true
      })
    }
  }
  const lanes = [
    ...Array.from({ length: 40 }, () => lane('prompts', 400, 20)),
    ...Array.from({ length: 40 }, () => lane('answers', 20, 200)),
  ]
  await sleep(5000)
  counting = true
  await sleep(seconds * 1000)
  counting = false
  over = true
  await Promise.allSettled(lanes)
  agent.destroy()
  await server.close()
  return service
}

console.log(heading('Fair scheduling: a flood and a quiet tenant, and two that always want more'))
const own = await alone()
const fair = await flooded('fair')
const fcfs = await flooded('fcfs')
const p99 = (list: number[]) => quantile(list, 0.99)
const row = (what: string, list: number[], step: string) => [
  what,
  list.length,
  quantile(list, 0.5).toFixed(0),
  p99(list).toFixed(0),
  step,
]
console.log(
  table(
    ['the quiet tenant', 'requests', 'first token, ms', 'p99', 'a step, ms'],
    [
      row('alone', own, ''),
      row('beside the flood, fair', fair.first, fair.step.toFixed(1)),
      row('beside the flood, fcfs', fcfs.first, fcfs.step.toFixed(1)),
    ],
  ),
)
const most = p99(own) + 3 * fair.step
console.log(
  `\n${against(`p99 under fair ≤ alone + three steps = ${most.toFixed(0)} ms: ${p99(fair.first).toFixed(0)}`, p99(fair.first) <= most)}\n`,
)
const both = { fair: await backlogged('fair'), fcfs: await backlogged('fcfs') }
const share = ({ prompts: a, answers: b }: { prompts: number; answers: number }) => Math.abs(a - b) / Math.max(a, b)
console.log(
  table(
    [`service in ${seconds} s`, 'long prompts', 'long answers', 'apart'],
    Object.entries(both).map(([name, one]) => [name, one.prompts, one.answers, `${(100 * share(one)).toFixed(1)} %`]),
  ),
)
console.log(`\n${against(`under fair within 10 %: ${(100 * share(both.fair)).toFixed(1)} %`, share(both.fair) <= 0.1)}`)
