/**
 * A swap storm: names that are replaced by versions which say different things, loaded, unloaded, given canaries that are promoted and rolled back, while clients ask, with the prefix cache on and host memory and a
 * pool for some of the versions; then the same with the server killed in between.
 *   targets: every answer is exactly what the version whose digest it states says; every change that was acknowledged is there after a kill, none is half made; afterwards nothing is held
 * `node dist/bench/storm.js [--replacements 1000] [--clients 32] [--kills 5] [--seed 1]`. Exit code 1 when a target is missed.
 */
import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { inFlight, seeded } from '../test/support/pace.ts'
import { against, heading, sleep, table } from './report.ts'
import { SoakServer } from './soak/server.ts'
import { CONTENTS, call, contentFolder, Versions } from './soak/versions.ts'

const { values } = parseArgs({
  options: {
    replacements: { type: 'string', default: '1000' },
    clients: { type: 'string', default: '32' },
    kills: { type: 'string', default: '5' },
    seed: { type: 'string', default: '1' },
  },
})
const [replacements, clients, kills, seed] = [values.replacements, values.clients, values.kills, values.seed].map(Number)
/** Names whose changes are made one after the other by one lane each, so that what each stands for is known. */
const NAMES = ['red', 'green', 'blue']
const SHOWN = 5

const root = mkdtempSync(path.join(tmpdir(), 'lorikeet-storm-'))
process.on('exit', () => rmSync(root, { recursive: true, force: true }))
const folder = path.join(root, 'adapters')
const more = path.join(root, 'more')
for (const name of CONTENTS)
  for (const to of [folder, more]) cpSync(contentFolder(name), path.join(to, name), { recursive: true })
const flags = [
  ...['--served-model-name', 'base', '--adapters', folder, '--adapter-roots', more, '--allow-adapter-management'],
  ...['--state-dir', path.join(root, 'state'), '--image-cache', path.join(root, 'images')],
  ...['--host-memory', '2MiB', '--pool', '6MiB', '--log-level', 'error'],
]

const random = seeded(seed)
const versions = new Versions()
const wrong: string[] = []
const counts = { answers: 0, gone: 0, changes: 0, refused: 0, cut: 0 }

/** What a name stands for, by content; undefined: nothing. */
interface Known {
  own: string
  canary?: string
}
const known = new Map<string, Known>()

/** Asks as the version that `known` says, where the name is this lane's alone to change. */
async function check(url: string, name: string): Promise<void> {
  const now = known.get(name)
  const answer = await versions.ask(url, name, { user: `user-${random.below(50)}` })
  counts.answers++
  if (!now) {
    if (answer.status !== 404) wrong.push(`${name} is unloaded and answers ${answer.status}`)
    return
  }
  const complaint = versions.wrong(name, answer)
  if (complaint) wrong.push(complaint)
  else if (![now.own, now.canary].some((content) => content && versions.digestOf(content) === answer.digest))
    wrong.push(`${name} stands for ${now.own} and ${now.canary}, and ${answer.digest} answered`)
}

/** One change of a name, and what it stands for if that is acknowledged. */
function change(
  name: string,
  phase: 'replace' | 'all',
): { method: string; route: string; body?: object; becomes: Known | undefined } {
  const now = known.get(name)
  const content = random.pick(CONTENTS.filter((other) => other !== now?.own && other !== now?.canary))
  const load = {
    method: 'POST',
    route: '/adapters',
    body: { name, src: path.join(more, content), replace: true },
    becomes: { ...now, own: content },
  }
  if (phase === 'replace' || !now) return load
  switch (random.below(6)) {
    case 0:
      return { method: 'DELETE', route: `/adapters/${name}`, becomes: undefined }
    case 1:
    case 2:
      return {
        method: 'POST',
        route: '/adapters',
        body: { name, src: path.join(more, content), canary: 0.3 },
        becomes: { own: now.own, canary: content },
      }
    case 3:
      if (now.canary) return { method: 'POST', route: `/adapters/${name}/promote`, body: {}, becomes: { own: now.canary } }
      return load
    case 4:
      if (now.canary) return { method: 'POST', route: `/adapters/${name}/rollback`, body: {}, becomes: { own: now.own } }
      return load
    default:
      return load
  }
}

async function manage(server: SoakServer, name: string, phase: 'replace' | 'all'): Promise<void> {
  const { method, route, body, becomes } = change(name, phase)
  const { status, text } = await call(server.url, method, route, body)
  counts.changes++
  if (status !== 200) wrong.push(`${method} ${route} ${JSON.stringify(body)}: ${status} ${text}`)
  else if (becomes) known.set(name, becomes)
  else known.delete(name)
  if (random.below(3) === 0) await check(server.url, name)
}

/** Clients that ask any of the names, whoever changes them meanwhile, until `over`. */
async function client(url: string, over: { now: boolean }): Promise<void> {
  while (!over.now) {
    const name = random.pick([...NAMES, ...CONTENTS.slice(0, 3)])
    try {
      const answer = await versions.ask(url, name, { user: `user-${random.below(50)}` })
      if (answer.status === 404 && NAMES.includes(name)) counts.gone++
      else {
        counts.answers++
        const complaint = versions.wrong(name, answer)
        if (complaint) wrong.push(complaint)
      }
    } catch {
      // The server was killed.
      counts.cut++
      await sleep(50)
    }
  }
}

async function storm(server: SoakServer, changes: number, phase: 'replace' | 'all'): Promise<number> {
  const over = { now: false }
  const asking = Array.from({ length: clients }, () => client(server.url, over))
  const started = performance.now()
  await Promise.all(
    NAMES.map(async (name) => {
      for (let i = 0; i < changes / NAMES.length; i++) await manage(server, name, phase)
    }),
  )
  over.now = true
  await Promise.all(asking)
  return (performance.now() - started) / 1000
}

/** A change that is under way when the server is killed: afterwards it is made or not. */
async function stormWithKill(server: SoakServer): Promise<Map<string, (Known | undefined)[]>> {
  const over = { now: false }
  const asking = Array.from({ length: clients }, () => client(server.url, over))
  const open = new Map<string, (Known | undefined)[]>()
  const until = Date.now() + 500 + random.below(1500)
  const lanes = NAMES.map(async (name) => {
    while (!server.dead) {
      const { method, route, body, becomes } = change(name, 'all')
      try {
        const { status, text } = await call(server.url, method, route, body)
        if (status !== 200) wrong.push(`${method} ${route} ${JSON.stringify(body)}: ${status} ${text}`)
        else if (becomes) known.set(name, becomes)
        else known.delete(name)
        counts.changes++
      } catch {
        open.set(name, [known.get(name), becomes])
        return
      }
    }
  })
  await sleep(until - Date.now())
  server.kill()
  await Promise.all(lanes)
  over.now = true
  await Promise.all(asking)
  return open
}

async function standsFor(url: string, name: string): Promise<Known | undefined> {
  const { status, text } = await call(url, 'GET', `/adapters/${name}`)
  if (status === 404) return undefined
  const { root: own, canary } = JSON.parse(text)
  return { own: path.basename(own), ...(canary && { canary: path.basename(canary.root) }) }
}

console.log(heading('Swap storm'))
let server = await SoakServer.start(flags)
process.on('exit', () => server.kill())
await versions.learn(server.url)
for (const name of NAMES) await manage(server, name, 'replace')
const rows: (string | number)[][] = []
const phase = (what: string, seconds: number, before: typeof counts) =>
  rows.push([
    what,
    counts.changes - before.changes,
    counts.answers - before.answers,
    counts.gone - before.gone,
    seconds.toFixed(0),
    wrong.length,
  ])
let before = { ...counts }
phase('replaced', await storm(server, replacements, 'replace'), before)
before = { ...counts }
phase('loaded, unloaded, canaries', await storm(server, replacements, 'all'), before)

let lost = 0
before = { ...counts }
const started = performance.now()
for (let i = 0; i < kills; i++) {
  const open = await stormWithKill(server)
  server = await SoakServer.start(flags)
  for (const name of NAMES) {
    const now = JSON.stringify(await standsFor(server.url, name))
    const may = (open.get(name) ?? [known.get(name)]).map((one) => JSON.stringify(one))
    if (!may.includes(now)) {
      lost++
      wrong.push(`after kill ${i + 1} ${name} stands for ${now}, not ${may.join(' or ')}`)
    }
    const stands = now === undefined ? undefined : (JSON.parse(now) as Known)
    if (stands) known.set(name, stands)
    else known.delete(name)
    await check(server.url, name)
  }
}
phase(`with ${kills} kills`, (performance.now() - started) / 1000, before)

await inFlight(NAMES, 1, (name) => call(server.url, 'DELETE', `/adapters/${name}`))
await sleep(1000)
const after = await server.sample()
const { adapters } = JSON.parse((await call(server.url, 'GET', '/adapters')).text)
const held = adapters.filter(({ leases, draining }: { leases: number; draining: object[] }) => leases > 0 || draining.length > 0)

console.log(table(['phase', 'changes', 'answers', 'answered 404', 'seconds', 'wrong so far'], rows))
console.log()
const verdicts: [string, boolean][] = [
  [`0 of ${counts.answers} answers and ${counts.changes} changes are wrong: ${wrong.length}`, wrong.length === 0],
  [`every acknowledged change is there after each of ${kills} kills, none half made: ${lost} are not`, lost === 0],
  [
    `afterwards no adapter is held, no block is a sequence's: ${held.length}, ${after.blocks.sequences + after.blocks.adapters}`,
    held.length === 0 && after.blocks.sequences + after.blocks.adapters === 0,
  ],
  [`0 failed steps since the last start: ${after.counters.failed_steps}`, after.counters.failed_steps === 0],
]
for (const [target, met] of verdicts) console.log(against(target, met))
for (const what of wrong.slice(0, SHOWN)) console.log(`  ${what}`)
process.exit(verdicts.every(([, met]) => met) ? 0 : 1)
