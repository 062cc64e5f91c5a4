/**
 * What a page that watches costs the server: many adapters in the pool and many sequences running, somebody watching or nobody, in turns; and at rest. CPU time of the main thread, of the
 * engine's thread and of all together, from /proc (Linux). `node dist/bench/ui.js [--resident 2000] [--sequences 256] [--rounds 8] [--seconds 5]`
 */
import { parseArgs } from 'node:util'
import { PoolMap } from '../runtime/engine/pool-map.ts'
import { inFlight } from '../test/support/pace.ts'
import { demoModel } from '../test/support/repo.ts'
import { ToyCore, toyImage, use } from '../test/support/toy-core.ts'
import { TestSocket } from '../test/support/web-socket.ts'
import { folderOf, manyAdapters } from './many-adapters.ts'
import { against, heading, median, sleep, table } from './report.ts'
import { allRan, mainRan, startServer } from './server-process.ts'

const { values } = parseArgs({
  options: {
    resident: { type: 'string', default: '2000' },
    sequences: { type: 'string', default: '256' },
    rounds: { type: 'string', default: '8' },
    seconds: { type: 'string', default: '5' },
  },
})
const [resident, sequences, rounds, seconds] = [values.resident, values.sequences, values.rounds, values.seconds].map(Number)
/** Of a core. */
const TARGET = 2
const LOOKS = 200

/** Milliseconds of a look on the engine's thread, at this size, while every sequence gets a token between two looks. */
async function lookMs(): Promise<number> {
  const blockSize = 16
  const toy = new ToyCore({ blockCount: 40_000, blockSize, maxSequences: sequences, maxBatchTokens: 4096, validate: false })
  const images = Array.from({ length: resident }, (_, i) => toyImage(`tenant-${i}`, 2))
  for (const image of images) toy.core.addAdapter(image)
  for (const [i, image] of images.entries()) {
    toy.submit(`warm-${i}`, [1, 2], [use(image)], { maxTokens: 1 })
    if (i % sequences === sequences - 1) await toy.drain()
  }
  await toy.drain()
  for (let i = 0; i < sequences; i++)
    toy.submit(
      `run-${i}`,
      Array.from({ length: 300 }, (_, k) => (k * 7 + i) % 50),
      [use(images[i % images.length])],
      { maxTokens: 600 },
    )
  while (toy.core.scheduler.waiting.length > 0) await toy.step()
  const map = new PoolMap(toy.core.scheduler, toy.core.pool)
  map.look(true)
  const times: number[] = []
  for (let i = 0; i < LOOKS; i++) {
    await toy.step()
    const started = performance.now()
    map.look(false)
    times.push(performance.now() - started)
  }
  return median(times)
}

const server = await startServer([
  ...[demoModel('base'), '--served-model-name', 'base'],
  ...['--adapters', manyAdapters('small', demoModel('adapters/json'), resident)],
  ...['--pool', '1GiB', '--host-memory', '2GiB', '--max-sequences', String(sequences), '--max-concurrent-requests', '1024'],
])
const post = async (body: object, signal?: AbortSignal) => {
  const response = await fetch(`${server.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    signal,
  })
  const text = await response.text()
  if (response.status !== 200) throw new Error(text)
}
await inFlight(Array.from({ length: resident }), 16, (_, i) => post({ model: folderOf(i), prompt: [1, 50], max_tokens: 1 }))

interface Spell {
  main: number
  all: number
  /** Of a watcher: messages and bytes a second. */
  messages: number
  bytes: number
  running: number
  resident: number
  /** Tokens a second. */
  tokens: number
}

/** Percent of a core during some seconds. */
async function spell(watched: boolean): Promise<Spell> {
  const socket = watched ? await TestSocket.open(`${server.url}/ui/live`) : undefined
  socket?.send({ key: '' })
  // The whole map has come, and what the last spell left is done.
  await sleep(1000)
  if (socket) socket.messages.length = 0
  const [main, all, bytes] = [mainRan(server), allRan(server), socket?.socket.bytesRead ?? 0]
  await sleep(seconds * 1000)
  const percent = (ms: number) => ms / (seconds * 10)
  const last = socket?.messages.findLast((message) => message.type === 'now')
  const result = {
    main: percent(mainRan(server) - main),
    all: percent(allRan(server) - all),
    messages: (socket?.messages.length ?? 0) / seconds,
    bytes: ((socket?.socket.bytesRead ?? 0) - bytes) / seconds,
    running: last?.running ?? 0,
    resident: last?.residentAdapters ?? 0,
    tokens: median(socket?.messages.flatMap((message) => (message.type === 'second' ? [message.generation] : [])) ?? []),
  }
  socket?.socket.destroy()
  await socket?.closed
  return result
}

/** Nobody, somebody, nobody, somebody, … */
async function inTurns(): Promise<{ off: Spell[]; on: Spell[] }> {
  const spells = { off: [] as Spell[], on: [] as Spell[] }
  for (let round = 0; round < rounds; round++) {
    // Each goes first as often.
    for (const watched of round % 2 === 0 ? [false, true] : [true, false])
      spells[watched ? 'on' : 'off'].push(await spell(watched))
  }
  return spells
}
type Turns = Awaited<ReturnType<typeof inTurns>>
const of = (list: Spell[], field: keyof Spell) => median(list.map((one) => one[field]))
const more = ({ off, on }: Turns, field: 'main' | 'all') => median(on.map((one, i) => one[field] - off[i][field]))

console.log(heading(`a page that watches: ${resident} adapters in the pool, ${sequences} sequences running`))
const rest = await inTurns()
const ended = new AbortController()
let asked = 0
const clients = Array.from({ length: sequences }, async (_, i) => {
  while (!ended.signal.aborted) {
    // Not all of one length: they would end together.
    const body = {
      model: folderOf(i),
      prompt: [1, 50 + (asked++ % 1000), 60],
      max_tokens: 500 + ((i * 37) % 500),
      ignore_eos: true,
    }
    await post(body, ended.signal).catch(() => {})
  }
})
await sleep(3000)
const load = await inTurns()
ended.abort()
await Promise.all(clients)
await server.close()
const look = await lookMs()
const engine = look * 10 * 0.1

const row = (name: string, turns: Turns, field: 'main' | 'all', target: string) => [
  name,
  of(turns.off, field).toFixed(2),
  of(turns.on, field).toFixed(2),
  more(turns, field).toFixed(2),
  target,
]
const cost = more(load, 'main') + engine
console.log(
  table(
    ['% of a core', 'nobody', 'one page', 'more (middle of the pairs)', 'target'],
    [
      row('at rest, all threads', rest, 'all', against(`${TARGET} %`, more(rest, 'all') <= TARGET)),
      row('under load, main thread', load, 'main', ''),
      row('under load, all threads', load, 'all', 'bound by the cores'),
      ["a look, on the engine's thread (10 a second)", '0', engine.toFixed(2), engine.toFixed(2), `${look.toFixed(3)} ms each`],
      ['under load, main thread and looks together', '', '', cost.toFixed(2), against(`${TARGET} %`, cost <= TARGET)],
    ],
  ),
)
console.log(
  `\nThe page was told ${of(load.on, 'messages').toFixed(1)} messages and ${(of(load.on, 'bytes') / 1000).toFixed(1)} KB a second, with ${of(load.on, 'running')} sequences running at ${of(load.on, 'tokens').toFixed(0)} tokens a second and ${of(load.on, 'resident')} adapters in the pool.`,
)
