/** Adapters that come, go and change while the server runs. */
import { cpSync, mkdirSync, rmSync, symlinkSync, truncateSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { inFlight, seeded } from '../../support/pace.ts'
import { demoModel, temporaryFolder } from '../../support/repo.ts'
import { ask, chat, say, start } from './managed.ts'

t.test("vLLM's routes", async (t) => {
  const served = await start(t)
  const { more } = served
  const load = (body: object) => ask(served.url, 'POST', '/v1/load_lora_adapter', body)
  const unload = (body: object) => ask(served.url, 'POST', '/v1/unload_lora_adapter', body)
  t.equal((await say(served, 'robot')).status, 404)
  const came = await load({ lora_name: 'robot', lora_path: path.join(more, 'robot') })
  t.match(came, { status: 200, text: "Success: LoRA adapter 'robot' added successfully." })
  const robot = await say(served, 'robot')
  t.match(robot, { status: 200, body: { model: 'robot' } })
  t.match(await load({ lora_name: 'robot', lora_path: path.join(more, 'robot') }), {
    status: 400,
    json: { error: { param: 'lora_name', message: /has already been loaded/ } },
  })
  t.match(await load({ lora_name: 'pirate', lora_path: path.join(more, 'robot'), load_inplace: true }), { status: 200 })
  t.equal((await say(served, 'pirate')).body.choices[0].text, robot.body.choices[0].text)
  t.match(await unload({ lora_name: 'robot' }), { status: 200, text: "Success: LoRA adapter 'robot' removed successfully." })
  t.equal((await say(served, 'robot')).status, 404)
  t.equal((await say(served, 'pirate')).status, 200, 'the same content under another name')
  t.match(await unload({ lora_name: 'robot' }), { status: 404, json: { error: { code: 'model_not_found', param: 'lora_name' } } })
  for (const [body, status, param] of [
    [{}, 400, 'lora_name'],
    [{ lora_name: '', lora_path: 'x' }, 400, 'lora_name'],
    [{ lora_name: 'x' }, 400, 'lora_path'],
    [{ lora_name: 'a\nb', lora_path: 'pirate' }, 400, 'lora_name'],
    [{ lora_name: 'demo', lora_path: 'pirate' }, 400, 'lora_name'],
    [{ lora_name: 'x', lora_path: 'nowhere' }, 404, 'lora_path'],
    [{ lora_name: 'x', lora_path: 'pirate', rank: 8 }, 400, 'rank'],
  ] as const)
    t.match(await load(body), { status, json: { error: { param } } }, JSON.stringify(body))
})

t.test('only from the folders that may be loaded from', async (t) => {
  const served = await start(t)
  const { folder, more } = served
  const outside = demoModel('adapters/emoji')
  symlinkSync(outside, path.join(folder, 'leads-out'))
  mkdirSync(path.join(more, 'sub'))
  cpSync(outside, path.join(more, 'sub/emoji'), { recursive: true })
  const load = (src: string) => ask(served.url, 'POST', '/adapters', { name: 'x', src })
  for (const src of [outside, '/etc', '/no/such', '../more/robot', path.join(folder, 'leads-out'), `${folder}x`]) {
    const refused = await load(src)
    t.match(refused, { status: 403, json: { error: { code: 'not_allowed', param: 'src' } } }, src)
    t.notMatch(refused.text, folder)
  }
  t.equal((await load(path.join(more, 'sub/emoji'))).status, 200)
})

t.test('management is off unless it is switched on, and an admin’s', async (t) => {
  const off = await start(t, { 'allow-adapter-management': false })
  for (const [method, route, body] of [
    ['POST', '/adapters', { name: 'robot', src: path.join(off.more, 'robot') }],
    ['DELETE', '/adapters/pirate', undefined],
    ['POST', '/v1/unload_lora_adapter', { lora_name: 'pirate' }],
  ] as const)
    t.match(await ask(off.url, method, route, body), {
      status: 403,
      json: { error: { code: 'not_allowed', type: 'permission_error', message: /--allow-adapter-management/ } },
    })
  t.equal((await off.get('/adapters')).status, 200, 'who looks changes nothing')
  const keyed = await start(t, { 'api-key': ['admin', 'acme=sk-1'] })
  const as = (key: string, method: string, route: string) =>
    ask(keyed.url, method, route, undefined, { authorization: `Bearer ${key}` })
  t.equal((await as('sk-1', 'GET', '/adapters')).status, 403)
  t.equal((await as('sk-1', 'DELETE', '/adapters/pirate')).status, 403)
  t.equal((await as('admin', 'DELETE', '/adapters/pirate')).status, 200)
  t.equal((await keyed.get('/adapters')).status, 401)
})

t.test('what is told of an adapter', async (t) => {
  const served = await start(t)
  await served.preloaded
  const broken = path.join(served.more, 'broken')
  cpSync(path.join(served.more, 'robot'), broken, { recursive: true })
  truncateSync(path.join(broken, 'adapter_model.safetensors'), 5000)
  const loaded = await ask(served.url, 'POST', '/adapters', {
    name: 'team/robot',
    src: path.join(served.more, 'robot'),
    pin: true,
  })
  t.match(loaded.json, {
    name: 'team/robot',
    state: 'loaded',
    digest: /^[0-9a-f]{64}$/,
    method: /./,
    rank: Number,
    root: path.join(served.more, 'robot'),
    pinned: true,
    leases: 0,
    uses: 1,
    load_ms: Number,
    bytes: { host: Number, pool: 0 },
    refusal: null,
    draining: [],
  })
  await say(served, 'team/robot')
  await served.serving.engine.idle()
  const one = await served.get('/adapters/team/robot')
  t.match(one.json, { uses: 2, leases: 0, last_use: Number, bytes: { pool: Number } })
  t.ok(one.json.bytes.pool > 0)
  t.same((await served.get('/adapters/team%2Frobot')).json, one.json)
  t.match((await ask(served.url, 'POST', '/adapters', { name: 'broken', src: broken })).json, {
    error: { code: 'adapter_refused', param: 'src', message: /adapter_model\.safetensors/ },
  })
  t.equal((await served.get('/adapters/broken')).status, 404, 'a name never stands for what cannot be served')
  t.match((await ask(served.url, 'POST', '/adapters', { name: 'late', src: broken, preload: false })).json, {
    state: 'known',
    digest: null,
  })
  t.match(await say(served, 'late'), { status: 400, body: { error: { code: 'adapter_refused', param: 'model' } } })
  t.match((await served.get('/adapters/late')).json, { state: 'refused', refusal: /adapter_model/ })
  cpSync(path.join(served.more, 'robot/adapter_model.safetensors'), path.join(broken, 'adapter_model.safetensors'))
  t.equal((await say(served, 'late')).status, 200, 'the file has been made whole')
  const names = (await served.get('/adapters')).json.adapters.map(({ name }: { name: string }) => name)
  t.same(names, ['late', 'pirate', 'spanish', 'team/robot'])
})

t.test('a version can be demanded, and compared before it is swapped', async (t) => {
  const served = await start(t)
  await served.preloaded
  const { digest } = (await served.get('/adapters/pirate')).json
  const demand = (value: string) => say(served, 'demo', { 'x-lora-adapter': `pirate;digest="${value}"` })
  t.equal((await demand(digest)).status, 200)
  t.equal((await demand(digest.slice(0, 8).toUpperCase())).status, 200)
  for (const [value, status, code] of [
    ['00000000', 412, 'adapter_version_mismatch'],
    [digest.slice(0, 7), 400, 'invalid_request'],
    ['pirate00', 400, 'invalid_request'],
  ] as const)
    t.match(await demand(value), { status, body: { error: { code, param: 'x-lora-adapter' } } }, value)
  const swap = (src: string, expected_digest: string) =>
    ask(served.url, 'POST', '/adapters', { name: 'pirate', src: path.join(served.more, src), expected_digest })
  t.match(await swap('robot', '0'.repeat(64)), {
    status: 412,
    json: { error: { code: 'adapter_version_mismatch', message: digest } },
  })
  t.equal((await swap('robot', digest)).status, 200)
  t.match(await swap('shout', digest), { status: 412 })
  t.equal((await demand(digest)).status, 412)
})

// The demo model's blocks are of 64 KiB: as they are, and cut into frames that its adapters share.
for (const frames of ['64KiB', '4KiB'])
  t.test(`a swap storm, frames of ${frames}: every answer is what the version that it names says`, async (t) => {
    // Host memory for four of the five, a pool for some.
    const served = await start(t, {
      'host-memory': '700KiB',
      pool: '1280KiB',
      'max-adapter-bytes': '1MiB',
      'adapter-frame-size': frames,
    })
    t.equal(served.serving.engine.info.frameBytes, frames === '4KiB' ? 4096 : 65536)
    const versions = ['pirate', 'spanish', 'robot', 'shout', 'json']
    const source = (name: string) => path.join(name === 'pirate' || name === 'spanish' ? served.folder : served.more, name)
    const said = new Map<string, string>()
    for (const src of versions) {
      t.equal((await ask(served.url, 'POST', '/adapters', { name: 'x', src: source(src), replace: true })).status, 200)
      const { headers, body } = await chat(served, 'x')
      said.set(headers.get('x-lora-digest') as string, body.choices[0].message.content)
    }
    t.equal(new Set(said.values()).size, 5, 'five versions that say five things')
    const random = seeded(7)
    let swapping = true
    const wrong: string[] = []
    let answers = 0
    const clients = Promise.all(
      Array.from({ length: 12 }, async () => {
        while (swapping) {
          const { status, headers, body } = await chat(served, random.pick(['x', 'x', 'x', 'y', 'pirate']))
          if (status === 404) continue
          answers++
          const digest = headers.get('x-lora-digest') as string
          if (status !== 200 || body.choices[0].message.content !== said.get(digest))
            wrong.push(`${status} ${digest} ${JSON.stringify(body)}`)
        }
      }),
    )
    const failed: string[] = []
    await inFlight(Array.from({ length: 150 }), 3, async () => {
      const src = source(random.pick(versions))
      const { status, text } = await ask(served.url, 'POST', '/adapters', { name: 'x', src, replace: true })
      if (status !== 200) failed.push(text)
      if (random.below(3) === 0) await ask(served.url, 'POST', '/adapters', { name: 'y', src })
      if (random.below(3) === 0) await ask(served.url, 'DELETE', '/adapters/y')
    })
    swapping = false
    await clients
    t.same(wrong, [], `${answers} answers`)
    t.same(failed, [])
    t.ok(answers > 100)
    t.same(await served.idleComplaints(), [])
    t.ok(served.serving.engine.snapshot.counters.adapterEvictions > 0, 'adapters were put out')
    const { adapters } = (await served.get('/adapters')).json
    t.ok(adapters.every(({ leases, draining }: { leases: number; draining: object[] }) => leases === 0 && draining.length === 0))
    for (const { name } of adapters) await ask(served.url, 'DELETE', `/adapters/${name}`)
    await served.serving.engine.idle()
    t.equal(served.serving.engine.residents.size, 0, 'unloading frees the pool')
    const { blocks, frames: left } = served.serving.engine.snapshot
    t.same([blocks.adapters, left.used, left.free], [0, 0, 0])
  })

t.test('an adapter whose folder goes is served from memory; one that was not read is refused', async (t) => {
  const served = await start(t)
  await served.preloaded
  rmSync(path.join(served.folder, 'pirate'), { recursive: true })
  t.equal((await say(served, 'pirate')).status, 200)
  await ask(served.url, 'POST', '/adapters', { name: 'late', src: path.join(served.more, 'robot'), preload: false })
  rmSync(path.join(served.more, 'robot'), { recursive: true })
  t.match(await say(served, 'late'), { status: 400, body: { error: { code: 'adapter_refused' } } })
})

t.test('what is there is pinned, or no longer, without reading it anew', async (t) => {
  const served = await start(t)
  await served.preloaded
  const { json: before } = await served.get('/adapters/pirate')
  const pin = (more: object) => ask(served.url, 'POST', '/adapters', { name: 'pirate', ...more })
  t.match(await pin({ pin: true }), { status: 200, json: { ...before, pinned: true, previous: null } })
  t.match(await pin({ pin: false, expected_digest: before.digest }), { status: 200, json: { ...before, pinned: false } })
  t.match(await pin({ pin: true, expected_digest: '0'.repeat(64) }), {
    status: 412,
    json: { error: { param: 'expected_digest' } },
  })
  t.equal((await served.get('/adapters/pirate')).json.pinned, false)
  t.match(await pin({ pin: true, replace: true }), { status: 400, json: { error: { param: 'src' } } })
  t.match(await ask(served.url, 'POST', '/adapters', { name: 'nobody', pin: true }), {
    status: 404,
    json: { error: { param: 'name' } },
  })
  const closed = await start(t, { 'allow-adapter-management': false })
  t.equal((await ask(closed.url, 'POST', '/adapters', { name: 'pirate', pin: true })).status, 403)
})

t.test("a name is registered with the formats of its answers, which go before the folder's and stay", async (t) => {
  const state = path.join(temporaryFolder(t), 'state')
  const served = await start(t, { 'state-dir': state })
  const { url, more, folder } = served
  const tools = [{ type: 'function', function: { name: 'now' } }]
  const auto = (model: string, to = served) =>
    to.post('/v1/chat/completions', { model, messages: [{ role: 'user', content: 'a' }], tools, max_tokens: 2 })
  t.match(await auto('pirate'), { status: 400, body: { error: { param: 'tool_choice' } } }, 'nobody knows how it calls')
  const set = (body: object) => ask(url, 'POST', '/adapters', { name: 'pirate', ...body })
  t.match(await set({ tool_call_parser: 'granite4', reasoning_parser: 'qwen3' }), {
    status: 200,
    json: { tool_call_parser: 'hermes', reasoning_parser: 'qwen3' },
  })
  t.equal((await auto('pirate')).status, 200)
  t.equal((await auto('spanish')).status, 400)
  t.equal((await auto('demo')).status, 400, 'the base has none')
  t.match((await set({ src: path.join(more, 'robot'), replace: true })).json, { tool_call_parser: 'hermes' }, 'another version')
  t.match(await ask(url, 'POST', '/adapters', { name: 'new', src: path.join(more, 'json'), tool_call_parser: 'pythonic' }), {
    json: { tool_call_parser: 'pythonic', reasoning_parser: null },
  })
  t.equal((await auto('new')).status, 200)
  for (const wrong of [{ tool_call_parser: 'nobody' }, { reasoning_parser: 3 }, { tool_call_parser: 'hermes', canary: 0.1 }])
    t.match(await set(wrong), { status: 400, json: { error: { param: Object.keys(wrong)[0] } } })
  const again = await start(t, { adapters: folder, 'adapter-roots': [more], 'state-dir': path.join(temporaryFolder(t), 'other') })
  t.equal((await auto('pirate', again)).status, 400)
  t.match(await set({ tool_call_parser: null }), { json: { tool_call_parser: null, reasoning_parser: 'qwen3' } })
  t.equal((await auto('pirate')).status, 400, 'and back')
})
