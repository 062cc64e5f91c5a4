/**
 * Thousands of adapters: how long the server takes to listen and what it holds in memory beside none, what a request waits for an adapter on each tier, and how many are loaded a second. The adapters
 * differ in their configs and share their weights' file by hard links: each has a digest of its own, and is read, hashed and packed as any other.
 * Floors: the same request to the base; reading and hashing an adapter's two files in one thread.
 * `node dist/bench/adapters.js [--adapters 5000] [--rounds 3] [--only demo|135m]`
 */
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { Agent, request } from 'node:http'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { demoModel, repoRoot } from '../test/support/repo.ts'
import { folderOf, manyAdapters } from './many-adapters.ts'
import { model135m } from './model135m.ts'
import { against, heading, median, table } from './report.ts'
import { residentBytes, startServer } from './server-process.ts'

const { values } = parseArgs({
  options: {
    adapters: { type: 'string', default: '5000' },
    rounds: { type: 'string', default: '3' },
    only: { type: 'string' },
  },
})
const count = Number(values.adapters)
const rounds = Number(values.rounds)
const MIB = 2 ** 20

interface Subject {
  name: string
  base: string
  /** An adapter that all are copies of. */
  adapter: string
  /** Of the server: a pool that holds some of those that are asked for. */
  pool: string
}

const subjects: Subject[] = [
  { name: 'demo', base: demoModel('base'), adapter: demoModel('adapters/pirate'), pool: '6MiB' },
  { name: '135m', ...subject135m(), pool: '256MiB' },
].filter(({ name }) => values.only === undefined || values.only === name)

function subject135m(): { base: string; adapter: string } {
  const model = model135m(16)
  return { base: model.directory, adapter: path.join(model.adapters, model.names[0]) }
}

/** Milliseconds to the end of an answer of one token. */
function ask(url: string, agent: Agent, model: string): Promise<number> {
  const started = performance.now()
  return new Promise((resolve, reject) => {
    const body = JSON.stringify({ model, prompt: 'Once', max_tokens: 1, ignore_eos: true })
    const client = request(`${url}/v1/completions`, { method: 'POST', agent, headers: { 'content-type': 'application/json' } })
    client.on('error', reject)
    client.on('response', (response) => {
      let text = ''
      response.on('data', (piece) => {
        text += piece
      })
      response.on('end', () =>
        response.statusCode === 200 ? resolve(performance.now() - started) : reject(new Error(`${response.statusCode}: ${text}`)),
      )
    })
    client.end(body)
  })
}

async function until(times: number, run: (i: number) => Promise<number>): Promise<number> {
  const all: number[] = []
  for (let i = 0; i < times; i++) all.push(await run(i))
  return median(all)
}

/** Milliseconds that reading and hashing an adapter's files take. */
function floor(folder: string, i: number): number {
  const started = performance.now()
  for (const file of ['adapter_config.json', 'adapter_model.safetensors'])
    createHash('sha256')
      .update(readFileSync(path.join(folder, folderOf(i), file)))
      .digest()
  return performance.now() - started
}

async function started(args: string[]) {
  const from = performance.now()
  const server = await startServer(args)
  return { server, seconds: (performance.now() - from) / 1000 }
}

/** What it holds once it has settled. */
async function settled(pid: number): Promise<number> {
  await new Promise((resolve) => setTimeout(resolve, 2000))
  return residentBytes(pid) / MIB
}

for (const subject of subjects) {
  const folder = manyAdapters(subject.name, subject.adapter, count)
  const base = [subject.base, '--served-model-name', 'base', '--pool', subject.pool]
  const none = path.join(repoRoot(), 'build/bench/adapters/none')
  mkdirSync(none, { recursive: true })
  console.log(heading(`${count} adapters of the ${subject.name} model`))

  const listening: { none: number[]; all: number[]; rss: number[] } = { none: [], all: [], rss: [] }
  for (let round = 0; round < rounds; round++) {
    const empty = await started([...base, '--adapters', none])
    const before = await settled(empty.server.pid)
    await empty.server.close()
    const full = await started([...base, '--adapters', folder])
    listening.rss.push((await settled(full.server.pid)) - before)
    await full.server.close()
    listening.none.push(empty.seconds)
    listening.all.push(full.seconds)
  }
  const more = median(listening.all) - median(listening.none)

  const { server } = await started([...base, '--adapters', folder])
  const agent = new Agent({ keepAlive: true })
  const name = (i: number) => folderOf(i % count)
  const times = 40
  await until(times, () => ask(server.url, agent, 'base'))
  let next = 0
  const cold: number[] = []
  const floors: number[] = []
  const bases: number[] = []
  for (let i = 0; i < times; i++) {
    bases.push(await ask(server.url, agent, 'base'))
    floors.push(floor(folder, next + 1000))
    cold.push(await ask(server.url, agent, name(next++)))
  }
  // The first have left the pool and are in host memory.
  const host = await until(times / 2, (i) => ask(server.url, agent, name(i)))
  const pool = await until(times / 2, () => ask(server.url, agent, name(times / 2 - 1)))
  const from = performance.now()
  const loads = Math.min(400, count - 2000)
  const clients = Array.from({ length: 32 }, async (_, c) => {
    for (let i = c; i < loads; i += 32) await ask(server.url, agent, name(2000 + i))
  })
  await Promise.all(clients)
  const rate = loads / ((performance.now() - from) / 1000)
  await server.close()

  // Packed by one server, and read by the next.
  const cache = path.join(repoRoot(), 'build/bench/adapters', `${subject.name}-images`)
  rmSync(cache, { recursive: true, force: true })
  const cached = async () => {
    const { server } = await started([...base, '--adapters', folder, '--image-cache', cache])
    await until(times, () => ask(server.url, agent, 'base'))
    const first = await until(times, (i) => ask(server.url, agent, name(3000 + i)))
    await server.close()
    return first
  }
  await cached()
  const packed = await cached()
  rmSync(cache, { recursive: true, force: true })
  agent.destroy()
  const ratio = median(cold) / (median(floors) + median(bases))
  console.log(
    table(
      ['what', 'middle', 'against'],
      [
        ['listens after, no adapters, s', median(listening.none).toFixed(2), ''],
        [`listens after, ${count}, s`, median(listening.all).toFixed(2), against('2 s more', more <= 2)],
        ['memory for knowing them, MiB', median(listening.rss).toFixed(0), against('150 MiB', median(listening.rss) <= 150)],
        ['one token of the base, ms', median(bases).toFixed(1), ''],
        ['reading and hashing one, ms', median(floors).toFixed(1), ''],
        [
          'one token of a cold adapter, ms',
          median(cold).toFixed(1),
          against(`1.5 × of both: ${ratio.toFixed(2)} ×`, ratio <= 1.5),
        ],
        ['of a packed one from the image cache, ms', packed.toFixed(1), ''],
        ['of one in host memory, ms', host.toFixed(1), ''],
        ['of one in the pool, ms', pool.toFixed(1), ''],
        [
          'cold ones a second, 32 clients',
          rate.toFixed(0),
          `${((rate * median(floors)) / 1000).toFixed(2)} × of reading and hashing in one thread`,
        ],
      ],
    ),
  )
  console.log()
}
