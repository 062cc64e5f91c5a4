/**
 * What many adapters cost those who do not use them: a server that knows thousands and holds many of them in its pool, against one that has two, at rest and under the same load in turns. And what is asked of
 * all of them: a wrong name, /metrics, /v1/models.
 * `node dist/bench/at-size.js [--known 10000] [--resident 2000] [--rounds 8]`; Linux (/proc).
 */
import { Agent, request } from 'node:http'
import { parseArgs } from 'node:util'
import { inFlight } from '../test/support/pace.ts'
import { demoModel } from '../test/support/repo.ts'
import { streamAll } from './clients.ts'
import { folderOf, manyAdapters } from './many-adapters.ts'
import { against, heading, median, sleep, table } from './report.ts'
import { allRan, mainRan, metricOf, type ServerProcess, startServer } from './server-process.ts'

const { values } = parseArgs({
  options: {
    known: { type: 'string', default: '10000' },
    resident: { type: 'string', default: '2000' },
    rounds: { type: 'string', default: '8' },
  },
})
const [known, resident, rounds] = [values.known, values.resident, values.rounds].map(Number)
const REST_SECONDS = 20
const STREAMS = 16
const TOKENS = 100
const QUESTIONS = 50

const agent = new Agent({ keepAlive: true })

function ask(url: string, path: string, body?: object): Promise<{ status: number; bytes: number; text: string; ms: number }> {
  const started = performance.now()
  return new Promise((resolve, reject) => {
    const headers = body ? { 'content-type': 'application/json' } : {}
    const client = request(`${url}${path}`, { method: body ? 'POST' : 'GET', agent, headers })
    client.on('error', reject)
    client.on('response', (response) => {
      const pieces: Buffer[] = []
      response.on('data', (piece: Buffer) => pieces.push(piece))
      response.on('end', () => {
        const all = Buffer.concat(pieces)
        resolve({ status: response.statusCode ?? 0, bytes: all.length, text: all.toString(), ms: performance.now() - started })
      })
    })
    client.end(body && JSON.stringify(body))
  })
}

/** Percent of a core at rest: the main thread's, and all threads' together. */
async function atRest(server: ServerProcess): Promise<{ main: number; all: number }> {
  const [main, all] = [mainRan(server), allRan(server)]
  await sleep(REST_SECONDS * 1000)
  const percent = (ms: number) => ms / (REST_SECONDS * 10)
  return { main: percent(mainRan(server) - main), all: percent(allRan(server) - all) }
}

/** Of one load: microseconds of main thread a token, and of planning (on the engine's thread) a step. */
async function underLoad(server: ServerProcess, names: string[]): Promise<{ main: number; schedule: number; rate: number }> {
  const planned = async () => [
    await metricOf(server.url, 'lorikeet_step_seconds_sum', 'part="schedule"'),
    await metricOf(server.url, 'lorikeet_steps_total'),
  ]
  const [seconds, steps] = await planned()
  const ran = mainRan(server)
  const asks = Array.from({ length: STREAMS }, (_, i) => ({
    model: names[i % names.length],
    prompt: [1, 50 + i, 60],
    maxTokens: TOKENS,
  }))
  const { seconds: took } = await streamAll(server.url, asks)
  const used = mainRan(server) - ran
  const [secondsAfter, stepsAfter] = await planned()
  return {
    main: (used * 1000) / (STREAMS * TOKENS),
    schedule: ((secondsAfter - seconds) * 1e6) / (stepsAfter - steps),
    rate: (STREAMS * TOKENS) / took,
  }
}

async function several(times: number, one: () => Promise<number>): Promise<number> {
  const all: number[] = []
  for (let i = 0; i < times; i++) all.push(await one())
  return median(all)
}

console.log(heading(`${known} adapters known and ${resident} resident, against two`))
const adapter = demoModel('adapters/json')
const start = (count: number) =>
  startServer([
    ...[demoModel('base'), '--served-model-name', 'base', '--adapters', manyAdapters('small', adapter, count)],
    ...['--pool', '1GiB', '--host-memory', '2GiB'],
  ])
const few = await start(2)
const many = await start(known)
const one = (url: string, model: string) => ask(url, '/v1/completions', { model, prompt: [1, 50], max_tokens: 1 })
await inFlight(Array.from({ length: resident }), 16, async (_, i) => {
  const { status, text } = await one(many.url, folderOf(i))
  if (status !== 200) throw new Error(`${folderOf(i)}: ${text}`)
})
await inFlight([0, 1], 1, (i) => one(few.url, folderOf(i)))
const there = await metricOf(many.url, 'lorikeet_resident_adapters')
await sleep(3000)

const rest = { few: await atRest(few), many: await atRest(many) }
const names = ['base', folderOf(0), folderOf(1)]
const loads = { few: [] as Awaited<ReturnType<typeof underLoad>>[], many: [] as Awaited<ReturnType<typeof underLoad>>[] }
for (const server of [few, many]) await underLoad(server, names)
for (let round = 0; round < rounds; round++) {
  loads.few.push(await underLoad(few, names))
  loads.many.push(await underLoad(many, names))
}
const of = (list: typeof loads.few, key: 'main' | 'schedule' | 'rate') => median(list.map((load) => load[key]))
/** Middle of the rounds' own ratios. */
const ratio = (key: 'main' | 'schedule' | 'rate') => median(loads.many.map((load, i) => load[key] / loads.few[i][key]))
// What a step or a token costs more, as part of a core: at the rate of the load.
const rate = of(loads.many, 'rate')
const moreMain = ((of(loads.many, 'main') - of(loads.few, 'main')) * rate) / 1e4
const moreEngine = ((of(loads.many, 'schedule') - of(loads.few, 'schedule')) * (rate / STREAMS)) / 1e4

const wrongName = (url: string) =>
  several(QUESTIONS, async () => {
    const { status, text, ms } = await one(url, 'tenant-0042x')
    if (status !== 404 || !text.includes('Did you mean')) throw new Error(text)
    return ms
  })
const wrong = { few: await wrongName(few.url), many: await wrongName(many.url) }
const pageTime = (url: string) => several(QUESTIONS, async () => (await ask(url, '/metrics')).ms)
const page = { few: await pageTime(few.url), many: await pageTime(many.url), bytes: (await ask(many.url, '/metrics')).bytes }
const list = await ask(many.url, '/v1/models')
const listed = JSON.parse(list.text).data.length
const health = await several(10, async () => {
  const asked = ask(many.url, '/v1/models')
  const { ms } = await ask(many.url, '/health')
  await asked
  return ms
})

console.log(
  table(
    ['what', 'two', 'many', 'target'],
    [
      ['adapters resident', 2, there, against(`${resident}`, there === resident)],
      [
        'at rest, main thread, % of a core',
        rest.few.main.toFixed(2),
        rest.many.main.toFixed(2),
        against('1 %', rest.many.main <= 1),
      ],
      [
        'at rest, all threads, % of a core',
        rest.few.all.toFixed(2),
        rest.many.all.toFixed(2),
        against('1 % each', rest.many.all <= 2),
      ],
      [
        'under load, main thread, µs a token',
        of(loads.few, 'main').toFixed(1),
        of(loads.many, 'main').toFixed(1),
        against(`1 % of a core more: ${moreMain.toFixed(2)} % (ratio ${ratio('main').toFixed(3)})`, moreMain <= 1),
      ],
      [
        "under load, planning on the engine's thread, µs a step",
        of(loads.few, 'schedule').toFixed(1),
        of(loads.many, 'schedule').toFixed(1),
        against(`1 % of a core more: ${moreEngine.toFixed(2)} % (ratio ${ratio('schedule').toFixed(3)})`, moreEngine <= 1),
      ],
      ['tokens a second', of(loads.few, 'rate').toFixed(0), rate.toFixed(0), `ratio ${ratio('rate').toFixed(3)}`],
      ['404 with its hint, ms', wrong.few.toFixed(2), wrong.many.toFixed(2), against('1 ms', wrong.many <= 1)],
      ['/metrics, ms', page.few.toFixed(1), page.many.toFixed(1), against('5 ms', page.many <= 5)],
      ['/metrics, KB', '', (page.bytes / 1000).toFixed(1), against('100 KB', page.bytes <= 100_000)],
      [`/v1/models, ms for ${listed} entries`, '', list.ms.toFixed(0), against(`whole`, listed === known + 1)],
      ['/health beside it, ms', '', health.toFixed(1), ''],
    ],
  ),
)
await Promise.all([few.close(), many.close()])
agent.destroy()
