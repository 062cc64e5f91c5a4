/** What is fetched from a hub, and how it lies in the cache. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { parseHubName } from '../../../adapters-store/index.ts'
import { ADAPTER, BASE, blobs, OTHER, size, start, WEIGHTS } from '../../support/fetching.ts'
import { HUB_TOKEN, localHub } from '../../support/local-hub.ts'

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

t.test('a model that says how it embeds brings that with it', async (t) => {
  const { local, hub } = await start(t)
  const modules = JSON.stringify([{ idx: 1, path: '1_Pooling', type: 'sentence_transformers.models.Pooling' }])
  const dense = { '2_Dense/config.json': '{}', '2_Dense/model.safetensors': 'weights' }
  const prompts = { 'config_sentence_transformers.json': '{}' }
  const embedding = { 'modules.json': modules, '1_Pooling/config.json': '{}', ...dense, ...prompts }
  local.commit('org/embedder', {
    ...BASE,
    ...embedding,
    '1_Pooling/README.md': 'x',
    '2_Dense/pytorch_model.bin': 'x',
    '2_Normalize/config.json': '{}',
  })
  const { directory } = await hub().fetch('org/embedder', 'model')
  for (const [name, text] of Object.entries(embedding)) t.equal(readFileSync(path.join(directory, name), 'utf8'), text)
  t.same(readdirSync(path.join(directory, '1_Pooling')), ['config.json'])
  t.same(readdirSync(path.join(directory, '2_Dense')).sort(), ['config.json', 'model.safetensors'], 'never a pickle')
  t.ok(existsSync(path.join(directory, 'config_sentence_transformers.json')))
  t.notOk(existsSync(path.join(directory, '2_Normalize')), 'nothing of it is read')
  local.commit('org/embedder', { ...BASE, 'modules.json': modules })
  t.notOk(existsSync(path.join((await hub().fetch('org/embedder', 'model')).directory, '1_Pooling')), 'nor need it be there')
})

t.test('gated: with the token, which no other server is given', async (t) => {
  const { local, hub, cache } = await start(t)
  local.commit('org/gated', ADAPTER, { gated: true })
  t.match(await hub().refused('org/gated'), {
    code: 'hub_denied',
    message: /org\/gated .*gated.*the server has no token \(HF_TOKEN\)/,
  })
  t.match(await hub({ token: 'hf_other' }).refused('org/gated'), {
    code: 'hub_denied',
    message: /the server's token \(HF_TOKEN\) does not give access/,
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
