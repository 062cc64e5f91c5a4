/**
 * A server under everything at once, for long: mixed traffic on all routes and adapters, clients that vanish, never read, send half, send nonsense, or reset
 * pipelined requests, adapters that come, change and go over HTTP and in the watched folder, while a control group asks the same greedy requests again and again; SIGTERM in the middle of it at the end.
 *   targets: 0 crashes, 0 failed steps, 0 wrong answers in the control group; afterwards no sequence, no block of one and no descriptor is left; RSS is flat
 * `node dist/bench/soak.js [--minutes 10] [--seed 1]`; Linux (/proc). Exit code 1 when a target is missed.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { inFlight, seeded } from '../test/support/pace.ts'
import { vanishingClient } from '../test/support/vanishing-client.ts'
import { against, heading, median, table } from './report.ts'
import { Churn } from './soak/churn.ts'
import {
  type Ask,
  complaint,
  halfSends,
  hostile,
  neverReads,
  PROMPTS,
  pipelines,
  politeAsk,
  type Random,
  STYLES,
  send,
} from './soak/clients.ts'
import { endInTraffic } from './soak/ending.ts'
import { type Sample, SoakServer } from './soak/server.ts'

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string', default: '1' } } })
const minutes = Number(values.minutes)
const SAMPLE_MS = 1000
/** RSS may grow by this share of itself in the second half: V8 and malloc keep what they had once. */
const FLAT = 0.05
/** Minutes of a run whose second half is judged by it: V8's heap and malloc take some two to reach what they keep. */
const SETTLED = 5
/** Complaints of a kind that are printed. */
const SHOWN = 3

const SETTINGS = [
  // 96 blocks: the nine adapters take 44 of them, so that sequences and adapters push each other out.
  ...['--served-model-name', 'base', '--pool', '6MiB', '--max-sequences', '32'],
  // Half-sent bodies are cut during the run, and the end comes before the longest requests do.
  ...['--request-timeout', '5', '--drain-timeout', '3', '--log-level', 'error'],
  // Of some twenty contents and names there is room for about half.
  ...['--host-memory', '2MiB'],
]

const complaints = new Map<string, string[]>()
function complain(kind: string, what: string): void {
  complaints.set(kind, [...(complaints.get(kind) ?? []), what])
}

const CONTROLS: Ask[] = STYLES.flatMap((model, i) => [
  { path: '/v1/chat/completions', body: { model, messages: PROMPTS[i].messages, max_tokens: 40, temperature: 0 } },
  {
    path: '/v1/completions',
    body: { model, prompt: 'Once there was a', max_tokens: 24, temperature: 0, logprobs: 3, stream: i % 2 === 1 },
  },
])
CONTROLS.push({
  path: '/v1/completions',
  headers: { 'x-lora-adapter': 'pirate;w=0.7, spanish;w=0.4' },
  body: { prompt: 'One day a', max_tokens: 24, temperature: 0, n: 2 },
})

/** The answer's bytes but for what says when and which; how much of a prompt was cached is the pool's state, not the answer. A stream's events are joined: how its tokens were parted is time. */
async function controlAnswer(url: string, ask: Ask): Promise<string> {
  const got = await send(url, ask)
  const wrong = complaint(ask, got)
  if (wrong) return wrong
  const plain = (text: string) =>
    text
      .replaceAll(/"id":"[^"]*"/g, '')
      .replaceAll(/"created":\d+/g, '')
      .replaceAll(/"cached_tokens":\d+/g, '')
  if (!(ask.body as { stream?: boolean }).stream) return plain(got.text)
  const events = got.text.split('\n\n').flatMap((event) => (event.startsWith('data: {') ? [JSON.parse(event.slice(6))] : []))
  const failed = events.find(({ choices }) => !choices)
  if (failed) return `/ an event without choices: ${JSON.stringify(failed)}`
  const logprobs = events.flatMap(({ choices }) => choices[0].logprobs?.token_logprobs ?? [])
  return JSON.stringify([events.map(({ choices }) => choices[0].text).join(''), logprobs, events.at(-1).choices[0].finish_reason])
}

const over = { now: false }
const counts = new Map<string, number>()

/** One lane of clients, one after the other, until it is over. */
async function lane(kind: string, random: Random, client: () => Promise<string | undefined>): Promise<void> {
  while (!over.now) {
    counts.set(kind, (counts.get(kind) ?? 0) + 1)
    try {
      const wrong = await client()
      if (wrong) complain(kind, wrong)
    } catch (error) {
      complain(kind, String((error as Error).cause ?? error))
    }
    await sleep(random.below(20))
  }
}

/** MiB a minute, by least squares. */
function slope(samples: Sample[]): number {
  const mean = (numbers: number[]) => numbers.reduce((sum, number) => sum + number, 0) / numbers.length
  const [at, rss] = [mean(samples.map((s) => s.at)), mean(samples.map((s) => s.rss))]
  const covariance = samples.reduce((sum, s) => sum + (s.at - at) * (s.rss - rss), 0)
  return (covariance / samples.reduce((sum, s) => sum + (s.at - at) ** 2, 0)) * 60_000
}

/** Waits until nothing runs; at the most half a minute. */
async function idle(server: SoakServer): Promise<Sample> {
  for (let i = 0; ; i++) {
    await sleep(500)
    const now = await server.sample()
    if (i === 60 || (now.running + now.waiting === 0 && now.blocks.sequences === 0)) return now
  }
}

console.log(heading('Soak: everything at once, for long'))
const churn = new Churn()
const server = await SoakServer.start([...SETTINGS, ...churn.flags])
process.on('exit', () => {
  server.kill()
  churn.remove()
})
const { url } = server
const random = seeded(Number(values.seed))

// What starts when it is first needed has started before descriptors are counted: processes for texts and for templates.
await Promise.all(
  Array.from({ length: 8 }, (_, i) => send(url, { path: '/tokenize', body: { prompt: 'a fox. '.repeat(1500 + i) } })),
)
await send(url, { path: '/v1/chat/completions', body: { messages: PROMPTS[0].messages, chat_template: 'a', max_tokens: 1 } })
await inFlight(Array.from({ length: 60 }), 4, () => send(url, politeAsk(random)))
const expected = await inFlight(CONTROLS, 4, (ask) => controlAnswer(url, ask))
const sound = expected.filter((answer) => answer.startsWith('{') || answer.startsWith('[')).length
if (sound < expected.length)
  throw new Error(`the control group is not served: ${expected.find((answer) => answer.startsWith('/'))}`)
await churn.learn(url)
const before = await idle(server)

const body = () => ({ model: random.pick(STYLES), messages: random.pick(PROMPTS).messages, max_tokens: 64, temperature: 0 })
let turn = 0
const compare = async () => {
  const i = turn++ % CONTROLS.length
  const answer = await controlAnswer(url, CONTROLS[i])
  return answer === expected[i] ? undefined : `${answer.slice(0, 300)} instead of ${expected[i].slice(0, 300)}`
}
const polite = async () => {
  const ask = politeAsk(random)
  return complaint(ask, await send(url, ask))
}
/** Of clients who have nothing to say of an answer. */
const silently = (client: (url: string, random: Random) => Promise<void>) => () => client(url, random).then(() => undefined)
const lanes = [
  ...Array.from({ length: 2 }, () => lane('control', random, compare)),
  ...Array.from({ length: 6 }, () => lane('mixed', random, polite)),
  ...Array.from({ length: 4 }, () => lane('vanishing', random, () => vanishingClient(url, body(), random).then(() => undefined))),
  ...Array.from({ length: 3 }, () => lane('never reading', random, silently(neverReads))),
  ...Array.from({ length: 2 }, () => lane('half-sent', random, silently(halfSends))),
  ...Array.from({ length: 2 }, () => lane('hostile', random, () => hostile(url, random))),
  ...[0, 1].map((i) => lane('adapters changed', random, () => churn.manage(url, i, random))),
  ...[0, 1].map(() => lane('adapters asked', random, () => churn.watchers(url, 2, random))),
  lane('folder changed', random, () => churn.folderOfGuest(url, random)),
  lane('pipelined, reset', random, silently(pipelines)),
]
const samples: Sample[] = []
const until = Date.now() + minutes * 60_000
while (Date.now() < until && !server.dead) {
  await sleep(SAMPLE_MS)
  try {
    samples.push(await server.sample())
  } catch (error) {
    complain('samples', String((error as Error).cause ?? error))
  }
}
over.now = true
await Promise.all(lanes)
if (server.dead) throw new Error(`the server died: ${server.said.slice(-20).join('\n')}`)

const after = await idle(server)
const again = await inFlight(CONTROLS, 4, (ask) => controlAnswer(url, ask))
for (const [i, answer] of again.entries()) if (answer !== expected[i]) complain('control', `afterwards: ${answer.slice(0, 300)}`)
const ending = await endInTraffic(server, random)

const half = samples.slice(samples.length / 2)
const growth = slope(half)
const grown = (growth * minutes) / 2
const peak = (of: (sample: Sample) => number) => Math.max(...samples.map(of))
const row = (what: string, of: (sample: Sample) => number) => [
  what,
  of(before).toFixed(0),
  median(samples.map(of)).toFixed(0),
  peak(of).toFixed(0),
  of(after).toFixed(0),
]
console.log(
  table(
    ['', 'before', 'median', 'most', 'afterwards'],
    [
      row('RSS, MiB', (s) => s.rss),
      row('descriptors', (s) => s.descriptors),
      row('sequences running', (s) => s.running),
      row('sequences waiting', (s) => s.waiting),
      row("blocks of sequences'", (s) => s.blocks.sequences),
      row('blocks of adapters in use', (s) => s.blocks.adapters),
      row('adapters known', (s) => s.known),
      row('host memory, KiB', (s) => s.host / 1024),
      row('kept there for loads, KiB', (s) => s.reserved / 1024),
    ],
  ),
)
const sixth = Math.ceil(samples.length / 6)
const sixths = Array.from({ length: 6 }, (_, i) => median(samples.slice(i * sixth, (i + 1) * sixth).map((s) => s.rss)).toFixed(0))
console.log(`\nRSS by sixths of the time, MiB: ${sixths.join(', ')}`)
if (after.descriptors > before.descriptors) console.log(`descriptors before: ${before.kinds}\nand afterwards: ${after.kinds}`)
const { counters } = after
console.log(`clients: ${[...counts].map(([kind, count]) => `${count} ${kind}`).join(', ')}`)
console.log(
  `tokens ${counters.generation_tokens}, preemptions ${counters.preemptions}, adapters put out ${counters.adapter_evictions}, cached blocks put out ${counters.prefix_evictions}`,
)
console.log(
  `at SIGTERM: ${[...ending.outcomes].map(([kind, count]) => `${count} ${kind}`).join(', ')}; exit code ${ending.code} after ${ending.seconds.toFixed(1)} s\n`,
)

const total = (s: Sample) => s.blocks.free + s.blocks.idle_adapters + s.blocks.cached_prefixes
const whole = before.blocks.sequences + before.blocks.adapters + total(before)
const pressed = counters.preemptions + counters.adapter_evictions > 0 && counters.prefix_evictions > 0
for (const what of ending.complaints) complain('SIGTERM', what)
const wrongs = [...complaints]
  .filter(([kind]) => kind !== 'control' && kind !== 'SIGTERM')
  .reduce((sum, [, list]) => sum + list.length, 0)
const verdicts: [string, boolean][] = [
  [`0 failed steps: ${counters.failed_steps}`, counters.failed_steps === 0],
  [`the pool was short all along`, pressed],
  [`0 of ${counts.get('control')} control answers differ: ${complaints.get('control')?.length ?? 0}`, !complaints.has('control')],
  [`0 other answers are wrong: ${wrongs}`, wrongs === 0],
  [`afterwards nothing runs or waits: ${after.running + after.waiting}`, after.running + after.waiting === 0],
  [
    `afterwards no block is a sequence's and each is accounted for: ${after.blocks.sequences}, ${total(after)} of ${whole}`,
    after.blocks.sequences === 0 && after.blocks.adapters === 0 && total(after) === whole,
  ],
  [
    `host memory within its limit all along, nothing kept for loads afterwards: ${(peak((s) => s.host + s.reserved) / 2 ** 20).toFixed(2)} of 2 MiB, ${after.reserved}`,
    peak((s) => s.host) <= 2 ** 21 && after.reserved === 0,
  ],
  [`descriptors as at the start: ${before.descriptors}, then ${after.descriptors}`, after.descriptors <= before.descriptors],
  [
    `RSS flat over the second half: ${growth.toFixed(2)} MiB a minute, ≤ ${FLAT * 100} % of it${minutes < SETTLED ? ' (too short to be judged)' : ''}`,
    minutes < SETTLED || grown <= FLAT * median(half.map((s) => s.rss)),
  ],
  [`SIGTERM: every stream its end, every request its answer, exit code 0`, ending.complaints.length === 0],
]
for (const [target, met] of verdicts) console.log(against(target, met))
for (const [kind, list] of complaints) for (const what of list.slice(0, SHOWN)) console.log(`  ${kind}: ${what}`)
process.exit(verdicts.every(([, met]) => met) ? 0 : 1)
