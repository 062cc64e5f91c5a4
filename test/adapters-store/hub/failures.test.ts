/** Hubs that fail, stall and lie, and processes that are killed: nothing half is ever served. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  unlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import type { ServerResponse } from 'node:http'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { ADAPTER, BASE, incomplete, size, start, WEIGHTS } from '../../support/fetching.ts'

t.test('no hub: what is in the cache is served, and told', async (t) => {
  const { local, hub, warnings } = await start(t)
  const { endpoint } = local
  const commit = local.commit('org/pirate', ADAPTER)
  await hub().fetch('org/pirate')
  await local.close()
  t.equal((await hub({ endpoint }).fetch('org/pirate')).commit, commit)
  t.match(warnings, [/org\/pirate is served from the cache, at [0-9a-f]{40}: the hub at http:\S+ cannot be reached: \S/])
  const refused = await hub({ endpoint }).refused('org/robot')
  t.match(refused, { code: 'hub_unreachable', message: 'the hub cannot be reached', detail: /ECONNREFUSED/ })
  t.match(await hub({ endpoint: 'nowhere' }).refused('org/robot'), { code: 'hub_unreachable', detail: /HF_ENDPOINT must be/ })
})

t.test('a connection that breaks in a file goes on where it broke', async (t) => {
  const { local, hub, cache } = await start(t)
  local.commit('org/pirate', ADAPTER)
  const from: number[] = []
  local.misbehave = (file, content, at, response) => {
    if (file !== WEIGHTS) return false
    from.push(at)
    if (from.length > 2) return false
    const headers = {
      'content-length': content.length - at,
      ...(at > 0 && { 'content-range': `bytes ${at}-${content.length - 1}/${content.length}` }),
    }
    response.writeHead(at > 0 ? 206 : 200, headers)
    // What was sent arrives first: a reset would overtake it.
    response.write(content.subarray(at, at + 30_000), () => setTimeout(50).then(() => response.destroy()))
    return true
  }
  const { directory } = await hub().fetch('org/pirate')
  t.same(readFileSync(path.join(directory, WEIGHTS)), ADAPTER[WEIGHTS])
  t.equal(from.length, 3)
  t.ok(from[1] > 0 && from[2] > from[1], `${from}`)
  t.same(incomplete(cache), [])
})

t.test('a hub that begins again instead', async (t) => {
  const { local, hub, told } = await start(t)
  local.commit('org/pirate', ADAPTER)
  let tries = 0
  local.misbehave = (file, content, _, response) => {
    if (file !== WEIGHTS) return false
    response.writeHead(200, { 'content-length': content.length })
    if (++tries > 1) response.end(content)
    else response.write(content.subarray(0, 30_000), () => response.destroy())
    return true
  }
  const { directory } = await hub().fetch('org/pirate')
  t.same(readFileSync(path.join(directory, WEIGHTS)), ADAPTER[WEIGHTS])
  t.equal(told.at(-1)?.bytes, told.at(-1)?.totalBytes)
})

t.test('a hub that dies, stalls, sends less, more or something else: nothing of it is served', async (t) => {
  const cases: [string, (content: Buffer, response: ServerResponse) => void, string][] = [
    [
      'dies',
      (content, response) =>
        response.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, 9000), () => response.destroy()),
      'hub_unreachable',
    ],
    [
      'stalls',
      (content, response) => response.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, 9000)),
      'hub_unreachable',
    ],
    ['says nothing', () => {}, 'hub_unreachable'],
    ['sends less', (content, response) => response.end(content.subarray(0, 9000)), 'hub_unreachable'],
    ['sends more', (content, response) => response.end(Buffer.concat([content, content])), 'hub_file_invalid'],
    ['sends another', (content, response) => response.end(Buffer.from(content).fill(7, 500, 501)), 'hub_file_invalid'],
    ['fails', (_, response) => response.writeHead(503).end(), 'hub_unreachable'],
  ]
  for (const [name, act, code] of cases)
    for (const file of [WEIGHTS, 'adapter_config.json']) {
      const { local, hub, cache } = await start(t)
      local.commit('org/pirate', ADAPTER)
      local.misbehave = (asked, content, from, response) => {
        if (asked !== file || from > 0) return false
        act(content, response)
        return true
      }
      // One that breaks is gone on with, where the hub can: so this one cannot.
      if (name !== 'sends another')
        local.misbehave = (
          (inner) => (asked, content, _, response) =>
            inner(asked, content, 0, response)
        )(local.misbehave)
      if (file === 'adapter_config.json' && size(ADAPTER, file) < 9000 && /dies|stalls|less/.test(name)) continue
      const refused = await hub({ stall: 150 }).refused('org/pirate')
      t.equal(refused.code, code, `${name}: ${file}`)
      t.match(await hub({ offline: true }).refused('org/pirate'), { code: 'hub_offline' }, `${name}: ${file}`)
      local.misbehave = undefined
      const { directory } = await hub().fetch('org/pirate')
      t.same(readFileSync(path.join(directory, WEIGHTS)), ADAPTER[WEIGHTS], `${name}: later it is well`)
      t.same(incomplete(cache), [], name)
    }
})

t.test('a slow hub is waited for', async (t) => {
  const { local, hub } = await start(t)
  local.commit('org/pirate', ADAPTER)
  local.misbehave = (file, content, _, response) => {
    if (file !== WEIGHTS) return false
    response.writeHead(200, { 'content-length': content.length })
    void (async () => {
      const step = Math.ceil(content.length / 10)
      for (let at = 0; at < content.length; at += step) {
        await setTimeout(60)
        response.write(content.subarray(at, at + step))
      }
      response.end()
    })()
    return true
  }
  const { directory } = await hub({ stall: 400 }).fetch('org/pirate')
  t.same(readFileSync(path.join(directory, WEIGHTS)), ADAPTER[WEIGHTS])
})

t.test('names from the hub lead nowhere', async (t) => {
  const { local, hub, cache } = await start(t)
  local.commit('org/pirate', ADAPTER)
  const evil = { type: 'file', size: 1, oid: 'a'.repeat(40) }
  for (const path of ['../../../x', '/etc/x', 'adapter_config.json/../../x', '..\\x']) {
    local.relist = (entries) => [...entries, { ...evil, path }]
    await hub().fetch('org/pirate')
  }
  t.same(local.fetched().sort(), ['adapter_config.json', WEIGHTS])
  for (const oid of ['../../../x', '', 'A'.repeat(40), null, 'a'.repeat(41), 7]) {
    local.relist = (entries) => entries.map((entry) => ({ ...entry, oid, lfs: undefined }))
    t.match(await hub().refused('org/pirate'), { code: 'hub_file_invalid' }, `oid ${oid}`)
  }
  for (const what of [
    [],
    [1],
    [null],
    {},
    'x',
    [{ type: 'file' }],
    [{ type: 'file', path: 'x', size: -1, oid: 'a'.repeat(40) }],
  ]) {
    local.relist = () => what as unknown[]
    t.match(await hub().refused('org/pirate'), { code: /hub_file_invalid|adapter_not_found/ }, JSON.stringify(what))
  }
  t.same(readdirSync(path.join(cache, '..')), ['hub'])
  t.same(readdirSync(cache), ['models--org--pirate'])
})

t.test('all who want the same share one download; it ends when nobody waits for it', async (t) => {
  const { local, hub, cache } = await start(t)
  local.commit('org/pirate', ADAPTER)
  const one = hub()
  const open: ServerResponse[] = []
  local.misbehave = (file, content, from, response) => {
    if (file !== WEIGHTS) return false
    open.push(response)
    response.writeHead(200, { 'content-length': content.length - from })
    response.write(content.subarray(0, 20_000))
    return true
  }
  const left = Array.from({ length: 3 }, () => new AbortController())
  const fetches = left.map(({ signal }) => one.fetch('org/pirate', 'adapter', signal))
  while (open.length === 0) await setTimeout(5)
  left[0].abort(new Error('left'))
  await t.rejects(fetches[0], { message: 'left' })
  await setTimeout(30)
  t.notOk(open[0].destroyed, 'two still wait')
  for (const { abort } of left.slice(1).map((one) => ({ abort: () => one.abort(new Error('left')) }))) abort()
  await Promise.allSettled(fetches)
  for (let i = 0; i < 200 && !open[0].destroyed; i++) await setTimeout(5)
  t.ok(open[0].destroyed, 'nobody waits')
  t.equal(open.length, 1)
  for (let i = 0; i < 200 && statSync(path.join(cache, 'models--org--pirate/blobs', incomplete(cache)[0])).mtimeMs > 0; i++)
    await setTimeout(5)
  const asked: number[] = []
  local.misbehave = (file, _, from) => {
    if (file === WEIGHTS) asked.push(from)
    return false
  }
  const folders = await Promise.all([1, 2, 3].map(() => one.fetch('org/pirate')))
  t.equal(new Set(folders.map(({ directory }) => directory)).size, 1)
  t.same(asked, [20_000], 'and the next goes on where it ended')
})

t.test('kill -9 in a download: offline nothing is there, online it is whole', async (t) => {
  for (const [kind, files, name] of [
    ['adapter', ADAPTER, WEIGHTS],
    ['model', BASE, 'model.safetensors'],
  ] as const) {
    const { local, hub, cache } = await start(t)
    local.commit('org/pirate', files)
    local.misbehave = (file, content, _, response) => {
      if (file !== name) return false
      response.writeHead(200, { 'content-length': content.length })
      response.write(content.subarray(0, content.length - 10))
      return true
    }
    const script = fileURLToPath(new URL('../../support/fetch-from-hub.js', import.meta.url))
    const env = { ...process.env, HF_ENDPOINT: local.endpoint, HF_HUB_CACHE: cache }
    const child = spawn(process.execPath, [script, 'org/pirate', kind], { env, stdio: ['ignore', 'pipe', 'inherit'] })
    t.teardown(() => child.kill('SIGKILL'))
    const most = size(files, name) - 10
    const half = () =>
      incomplete(cache).some((file) => statSync(path.join(cache, 'models--org--pirate/blobs', file)).size === most)
    const there = () => existsSync(path.join(cache, 'models--org--pirate/blobs'))
    for (let i = 0; i < 1000 && !(there() && half()); i++) await setTimeout(10)
    t.ok(half())
    child.kill('SIGKILL')
    await once(child, 'exit')
    t.match(await hub({ offline: true }).refused('org/pirate', kind), { code: 'hub_offline', message: /not whole/ })
    local.misbehave = undefined
    const { directory } = await hub().fetch('org/pirate', kind)
    t.same(readFileSync(path.join(directory, name)), files[name])
  }
})

t.test('a snapshot that lacks files is none', async (t) => {
  const { local, hub, cache } = await start(t)
  const commit = local.commit('org/pirate', ADAPTER)
  const root = path.join(cache, 'models--org--pirate')
  // As huggingface_hub leaves it after hf_hub_download of one file.
  mkdirSync(path.join(root, 'refs'), { recursive: true })
  mkdirSync(path.join(root, 'snapshots', commit), { recursive: true })
  writeFileSync(path.join(root, 'refs/main'), commit)
  writeFileSync(path.join(root, 'snapshots', commit, 'adapter_config.json'), ADAPTER['adapter_config.json'])
  t.match(await hub({ offline: true }).refused('org/pirate'), { code: 'hub_offline', message: /not whole/ })
  const { directory } = await hub().fetch('org/pirate')
  t.same(readFileSync(path.join(directory, WEIGHTS)), ADAPTER[WEIGHTS])
  t.ok(lstatSync(path.join(directory, 'adapter_config.json')).isFile(), 'what was there stays')
})

t.test('what another download left is gone on with, unless it is something else', async (t) => {
  const { local, hub, cache } = await start(t)
  local.commit('org/pirate', ADAPTER)
  const from: number[] = []
  local.misbehave = (file, _, at) => {
    if (file === WEIGHTS) from.push(at)
    return false
  }
  await hub().fetch('org/pirate')
  const root = path.join(cache, 'models--org--pirate')
  const blob = readdirSync(path.join(root, 'blobs')).find((name) => name.length === 64) as string
  const weights = ADAPTER[WEIGHTS] as Buffer
  for (const [left, asked] of [
    [weights.subarray(0, 500), [500]],
    [weights, []],
    [Buffer.alloc(500, 1), [500, 0]],
    [Buffer.alloc(weights.length, 1), [0]],
    [Buffer.alloc(weights.length + 1), [0]],
    [Buffer.alloc(0), [0]],
  ] as const) {
    await hub().fetch('org/pirate')
    const part = path.join(root, `blobs/${blob}.abc.lorikeet.incomplete`)
    unlinkSync(path.join(root, 'blobs', blob))
    writeFileSync(part, left)
    utimesSync(part, 0, 0)
    from.length = 0
    const { directory } = await hub().fetch('org/pirate')
    t.same(readFileSync(path.join(directory, WEIGHTS)), weights)
    t.same(from, asked)
    t.same(incomplete(cache), [])
  }
})

t.test('what broken downloads left of a file that is whole by now goes', async (t) => {
  const { local, hub, cache } = await start(t)
  local.commit('org/pirate', ADAPTER)
  await hub().fetch('org/pirate')
  const folder = path.join(cache, 'models--org--pirate/blobs')
  const [blob] = readdirSync(folder)
  const left = (name: string, old: boolean) => {
    const file = path.join(folder, name)
    writeFileSync(file, 'x')
    if (old) utimesSync(file, 0, 0)
  }
  left(`${blob}.abc.lorikeet.incomplete`, true)
  left(`${blob}.def.lorikeet.incomplete`, false)
  left(`${'a'.repeat(64)}.abc.lorikeet.incomplete`, true)
  left(`${blob}.incomplete`, true)
  await hub().fetch('org/pirate')
  t.same(
    incomplete(cache),
    [`${'a'.repeat(64)}.abc.lorikeet.incomplete`, `${blob}.def.lorikeet.incomplete`, `${blob}.incomplete`].sort(),
    'but nothing that may be written, that can be gone on with, or that is another program’s',
  )
})

t.test('several servers over one cache', async (t) => {
  const { local, hub, cache } = await start(t)
  local.commit('org/pirate', ADAPTER)
  const folders = await Promise.all(Array.from({ length: 8 }, () => hub().fetch('org/pirate')))
  t.equal(new Set(folders.map(({ directory }) => directory)).size, 1)
  t.same(readFileSync(path.join(folders[0].directory, WEIGHTS)), ADAPTER[WEIGHTS])
  t.same(incomplete(cache), [])
})
