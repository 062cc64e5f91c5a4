/** Fetching from a hub that does what it should, and from those that do not. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { Hub } from '../../../adapters-store/hub/hub.ts'
import { AdapterError, type HubKind, type HubName, type HubProgress, parseHubName } from '../../../adapters-store/index.ts'
import { type Files, filesOf, HUB_TOKEN, type LocalHub, localHub } from '../../support/local-hub.ts'
import { demoModel, temporaryFolder } from '../../support/repo.ts'

const ADAPTER = filesOf(demoModel('adapters/pirate'))
const OTHER = filesOf(demoModel('adapters/robot'))
const BASE = filesOf(demoModel('base'))
const WEIGHTS = 'adapter_model.safetensors'
const size = (files: Files, ...names: string[]) => names.reduce((sum, name) => sum + Buffer.byteLength(files[name] as Buffer), 0)

interface Started {
  local: LocalHub
  cache: string
  /** A hub over the same cache. */
  hub(options?: { offline?: boolean; token?: string; endpoint?: string; maxAdapterBytes?: number; stall?: number }): Fetching
  told: HubProgress[]
  warnings: string[]
}

interface Fetching {
  fetch(name: string, kind?: HubKind, signal?: AbortSignal): ReturnType<Hub['fetch']>
  /** The code and both texts of what it rejects with. */
  refused(name: string, kind?: HubKind): Promise<{ code: string; message: string; detail: string }>
}

async function start(t: Test): Promise<Started> {
  const local = await localHub(t)
  const cache = path.join(temporaryFolder(t), 'hub')
  const told: HubProgress[] = []
  const warnings: string[] = []
  const hub: Started['hub'] = ({ offline = false, token, endpoint = local.endpoint, stall = 2000, maxAdapterBytes } = {}) => {
    const one = new Hub(
      { endpoint, token, offline, cache },
      { stall, onProgress: (progress) => told.push({ ...progress }), onWarning: (text) => warnings.push(text) },
    )
    const fetching: Fetching = {
      fetch: (name, kind = 'adapter', signal = new AbortController().signal) =>
        one.fetch(parseHubName(name) as HubName, kind, signal, maxAdapterBytes),
      async refused(name, kind) {
        const error = await fetching.fetch(name, kind).then(
          () => undefined,
          (error) => error,
        )
        if (!(error instanceof AdapterError)) throw error ?? new Error(`${name} was fetched`)
        const { code, message, detail } = error
        return { code, message, detail }
      },
    }
    return fetching
  }
  return { local, cache, hub, told, warnings }
}

const blobs = (cache: string, repo = 'models--org--pirate') => readdirSync(path.join(cache, repo, 'blobs')).sort()
const incomplete = (cache: string) => blobs(cache).filter((name) => name.endsWith('.incomplete'))

t.test('an adapter lies in the layout that others share, and only what is read was fetched', async (t) => {
  const { local, cache, hub, told } = await start(t)
  const commit = local.commit('org/pirate', {
    ...ADAPTER,
    'README.md': 'x',
    'adapter_model.bin': 'x',
    'training/optimizer.pt': 'x',
  })
  const { directory, root, commit: got } = await hub().fetch('org/pirate')
  t.equal(got, commit)
  t.equal(root, path.join(cache, 'models--org--pirate'))
  t.equal(directory, path.join(root, 'snapshots', commit))
  t.equal(readFileSync(path.join(root, 'refs/main'), 'utf8'), commit)
  for (const name of readdirSync(directory)) {
    t.same(readFileSync(path.join(directory, name)), ADAPTER[name], name)
    t.match(readlinkSync(path.join(directory, name)), /^\.\.\/\.\.\/blobs\/[0-9a-f]{40,64}$/)
  }
  t.same(readdirSync(directory).sort(), ['adapter_config.json', WEIGHTS])
  t.same(local.fetched().sort(), ['adapter_config.json', WEIGHTS])
  t.equal(blobs(cache).length, 2)
  t.same(told.at(-1), {
    name: 'org/pirate',
    bytes: size(ADAPTER, 'adapter_config.json', WEIGHTS),
    totalBytes: size(ADAPTER, 'adapter_config.json', WEIGHTS),
    ended: true,
  })
  await hub().fetch('org/pirate')
  t.equal(local.fetched().length, 2, 'what is there is not fetched again')
  local.requests.length = 0
  t.equal((await hub({ offline: true }).fetch('org/pirate')).directory, directory)
  t.equal((await hub({ offline: true }).fetch(`org/pirate@${commit}`)).directory, directory)
  t.same(local.requests, [], 'offline nothing is asked')
})

t.test('revisions: branches, tags, pull requests and commits; a branch that moves', async (t) => {
  const { local, cache, hub } = await start(t)
  const first = local.commit('org/pirate', ADAPTER)
  const odd = ['refs/pr/1', 'v1.0', 'ünï+code', 'a#b%2F', 'feature/x(1)']
  for (const branch of odd) local.commit('org/pirate', OTHER, { branch })
  for (const branch of odd) {
    const { commit, directory } = await hub().fetch(`org/pirate@${branch}`)
    t.same(readFileSync(path.join(directory, WEIGHTS)), OTHER[WEIGHTS], branch)
    t.equal(readFileSync(path.join(cache, 'models--org--pirate/refs', branch), 'utf8'), commit)
    t.equal((await hub({ offline: true }).fetch(`org/pirate@${branch}`)).commit, commit)
  }
  t.equal((await hub().fetch('org/pirate')).commit, first)
  const second = local.commit('org/pirate', { ...OTHER, 'README.md': 'new' })
  t.equal((await hub({ offline: true }).fetch('org/pirate')).commit, first)
  t.equal((await hub().fetch('org/pirate')).commit, second)
  t.equal((await hub().fetch(`org/pirate@${first}`)).commit, first)
  t.match(await hub().refused('org/pirate@gone'), {
    code: 'hub_not_found',
    message: 'org/pirate has no revision gone on the hub',
  })
})

t.test('what names something on the hub, and what cannot', async (t) => {
  t.same(parseHubName('org/name'), { repo: 'org/name', folder: '', revision: 'main' })
  t.same(parseHubName('hf://org/name/a/b@refs/pr/1'), { repo: 'org/name', folder: 'a/b', revision: 'refs/pr/1' })
  const long = 'a'.repeat(97)
  for (const text of [
    ...[
      '',
      'name',
      '/org/name',
      './name',
      '../name',
      'org/..',
      'org/../x',
      'org//x',
      'org/name/',
      'a--b/c',
      'org/-x',
      'org/x.',
      'org/x.git',
    ],
    ...[
      'org/name@',
      'org/name@..',
      'org/name@a/../b',
      'org/name@/a',
      'org/name@a//b',
      'org/name@.a',
      'org/name@a/.b',
      'org/name@a b',
    ],
    ...[
      'org/name@a\n',
      'org/name@a.lock',
      'org/name@a@{1}',
      `org/${long}`,
      `org/name@${'a'.repeat(201)}`,
      'org/na me',
      'org/näme',
      'http://org/x',
    ],
  ])
    t.equal(parseHubName(text), undefined, text)
})

t.test('a folder of a repository, alone', async (t) => {
  const { local, hub } = await start(t)
  local.commit('org/many', {
    ...Object.fromEntries(Object.entries(ADAPTER).map(([name, content]) => [`styles/pirate/${name}`, content])),
    ...Object.fromEntries(Object.entries(OTHER).map(([name, content]) => [`styles/robot/${name}`, content])),
  })
  const { directory, commit } = await hub().fetch('org/many/styles/pirate')
  t.ok(directory.endsWith(`/snapshots/${commit}/styles/pirate`))
  t.same(readFileSync(path.join(directory, WEIGHTS)), ADAPTER[WEIGHTS])
  t.equal(local.fetched().length, 2)
  t.equal((await hub({ offline: true }).fetch('org/many/styles/pirate')).directory, directory)
  t.match(await hub({ offline: true }).refused('org/many/styles/robot'), { code: 'hub_offline' })
  t.match(await hub().refused('org/many/styles/none'), { code: 'hub_not_found', message: /no such folder/ })
  t.match(await hub().refused('org/many'), { code: 'adapter_not_found', message: /no adapter_config.json/ })
})

t.test('a model: whole or in shards, and nothing that is not read', async (t) => {
  const { local, hub } = await start(t)
  const rest = {
    'pytorch_model.bin': 'x',
    'onnx/model.onnx': 'x',
    'consolidated.safetensors': 'x',
    'chat_template.jinja': '{{ x }}',
  }
  local.commit('org/base', { ...BASE, ...rest })
  const { directory } = await hub().fetch('org/base', 'model')
  t.same(readdirSync(directory).sort(), [...Object.keys(BASE), 'chat_template.jinja'].sort())
  const { 'model.safetensors': weights, ...texts } = BASE
  const index = { weight_map: { a: 'model-1-of-2.safetensors', b: 'model-2-of-2.safetensors', c: 'model-1-of-2.safetensors' } }
  const sharded = {
    ...texts,
    ...rest,
    'model.safetensors.index.json': JSON.stringify(index),
    'model-1-of-2.safetensors': weights,
    'model-2-of-2.safetensors': 'second',
  }
  local.commit('org/sharded', sharded)
  const two = await hub().fetch('org/sharded', 'model')
  t.same(
    readdirSync(two.directory).filter((name) => name.endsWith('.safetensors')),
    ['model-1-of-2.safetensors', 'model-2-of-2.safetensors'],
  )
  t.equal((await hub({ offline: true }).fetch('org/sharded', 'model')).directory, two.directory)
  local.commit('org/pickled', { ...texts, 'pytorch_model.bin': 'x' })
  t.match(await hub().refused('org/pickled', 'model'), { code: 'adapter_pickle', message: /pytorch_model.bin: a Python pickle/ })
  local.commit('org/pirate', ADAPTER)
  t.match(await hub().refused('org/pirate', 'model'), { message: /it is an adapter and not a model/ })
  t.match(await hub().refused('org/base'), { message: /it is a model and not an adapter/ })
  local.commit('org/lost', { ...sharded, 'model.safetensors.index.json': '{"weight_map":{"a":"../../../x.safetensors"}}' })
  t.match(await hub().refused('org/lost', 'model'), { code: 'hub_file_invalid', message: /says nothing of shards/ })
})

t.test('gated: with the token, which no other server is given', async (t) => {
  const { local, hub, cache } = await start(t)
  local.commit('org/gated', ADAPTER, { gated: true })
  t.match(await hub().refused('org/gated'), { code: 'hub_denied', message: /org\/gated .*gated.*HF_TOKEN gives the server none/ })
  t.match(await hub({ token: 'hf_other' }).refused('org/gated'), {
    code: 'hub_denied',
    message: /the server's HF_TOKEN does not/,
  })
  local.requests.length = 0
  await hub({ token: HUB_TOKEN }).fetch('org/gated')
  const { authorization = undefined } = local.requests.find(({ line }) => line.startsWith('store'))?.headers ?? {}
  t.equal(authorization, undefined)
  t.ok(local.requests.some(({ line }) => line.startsWith('store')))
  for (const { line, headers } of local.requests)
    t.equal(headers.authorization, line.startsWith('store') ? undefined : `Bearer ${HUB_TOKEN}`, line)
  // A listing that goes on elsewhere.
  const thief = await localHub(t)
  local.nextPage = `${thief.endpoint}/api/models/org/gated/tree/main`
  thief.commit('org/gated', {})
  local.commit('org/gated', OTHER)
  await hub({ token: HUB_TOKEN }).fetch('org/gated')
  t.match(thief.requests, [{ line: /tree/, headers: { authorization: undefined } }])
  t.equal(thief.requests[0].headers.authorization, undefined)
  const texts = JSON.stringify([
    await hub({ token: HUB_TOKEN }).refused('org/none'),
    await hub({ token: HUB_TOKEN }).refused('org/gated@x'),
  ])
  t.notMatch(texts, HUB_TOKEN)
  t.notMatch(texts, cache)
})

t.test('what is not there', async (t) => {
  const { local, hub, cache } = await start(t)
  t.match(await hub().refused('org/none'), { code: 'hub_not_found', message: /the hub has no org\/none, or it is private/ })
  t.match(await hub({ offline: true }).refused('org/none'), { code: 'hub_offline', message: /HF_HUB_OFFLINE/ })
  local.commit('org/bare', { 'adapter_config.json': '{}' })
  t.match(await hub().refused('org/bare'), { code: 'adapter_not_found', message: /no adapter_model.safetensors/ })
  local.commit('org/bin', { 'adapter_config.json': '{}', 'adapter_model.bin': 'x' })
  t.match(await hub().refused('org/bin'), { code: 'adapter_pickle' })
  const large = await hub({ maxAdapterBytes: 1000 }).refused('org/bare')
  t.match(large, { code: 'adapter_not_found' })
  local.commit('org/pirate', ADAPTER)
  t.match(await hub({ maxAdapterBytes: 1000 }).refused('org/pirate'), { code: 'adapter_too_large', message: /at most 1000/ })
  local.relist = (entries) => entries.map((entry) => ({ ...entry, lfs: entry.lfs && { ...entry.lfs, size: 2 ** 52 } }))
  t.match(await hub().refused('org/pirate'), {
    code: 'hub_cache_failed',
    message: /takes \d+ bytes on the disk, and \d+ are free/,
  })
  t.same(local.fetched(), [], 'nothing of it was fetched')
  t.notOk(existsSync(path.join(cache, 'models--org--pirate/snapshots')))
})

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
    response.write(content.subarray(at, at + 30_000), () => response.destroy())
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
  const cases: [string, (content: Buffer, response: import('node:http').ServerResponse) => void, string][] = [
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
  for (const path of ['../../../x', '/etc/x', 'adapter_config.json/../../x', '..\\x'])
    for (const revision of ['main'])
      await t.resolves(
        (async () => {
          local.relist = (entries) => [...entries, { ...evil, path }]
          await hub().fetch(`org/pirate@${revision}`)
        })(),
        path,
      )
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
  const open: import('node:http').ServerResponse[] = []
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
