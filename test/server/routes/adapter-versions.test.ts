/** A name that stands for two versions, over HTTP. */
import { cpSync, renameSync } from 'node:fs'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { inFlight, seeded } from '../../support/pace.ts'
import type { Served } from '../../support/served.ts'
import { ask, chat, start } from './managed.ts'

type Started = Awaited<ReturnType<typeof start>>

/** The digest of the version that answers a user. */
async function versionOf(served: Served, model: string, user?: string, headers: Record<string, string> = {}): Promise<string> {
  const {
    status,
    headers: said,
    body,
  } = await served.post('/v1/completions', { model, prompt: 'Once', max_tokens: 1, user }, headers)
  if (status !== 200) throw new Error(JSON.stringify(body))
  return said.get('x-lora-digest') as string
}

/** What `/metrics` has of versions, without the labels that all have. */
async function versionLines({ url }: Served): Promise<string[]> {
  const page = await (await fetch(`${url}/metrics`)).text()
  return page
    .split('\n')
    .filter((line) => /^lorikeet_adapter_(version|canary)/.test(line))
    .map((line) => line.replace('model_name="demo",engine="0",', ''))
}

const set = ({ url, more }: Started, canary: number, others: object = {}, src = 'robot') =>
  ask(url, 'POST', '/adapters', { name: 'pirate', src: path.join(more, src), canary, ...others })
const judge = ({ url }: Served, verb: string, body?: object, name = 'pirate') =>
  ask(url, 'POST', `/adapters/${name}/${verb}`, body)

t.test('a share of the users gets the canary, and the same ones each time', async (t) => {
  const served = await start(t)
  await served.preloaded
  const { digest } = (await served.get('/adapters/pirate')).json
  const came = await set(served, 0.2)
  t.match(came, {
    status: 200,
    json: { name: 'pirate', digest, canary: { share: 0.2, state: 'loaded', digest: /^[0-9a-f]{64}$/ } },
  })
  const other = came.json.canary.digest
  const users = Array.from({ length: 200 }, (_, i) => `user ${i}`)
  const versions = async () => inFlight(users, 8, (user) => versionOf(served, 'pirate', user))
  const first = await versions()
  const on = (list: string[]) => users.filter((_, i) => list[i] === other)
  t.ok(on(first).length > 15 && on(first).length < 70, `${on(first).length} of 200 at 20 %`)
  t.ok(first.every((version) => version === digest || version === other))
  t.same(await versions(), first)
  t.same(
    await versionLines(served),
    [
      `lorikeet_adapter_version_requests_total{adapter="pirate",version="main",digest="${digest.slice(0, 12)}"} ${400 - 2 * on(first).length}`,
      `lorikeet_adapter_version_requests_total{adapter="pirate",version="canary",digest="${other.slice(0, 12)}"} ${2 * on(first).length}`,
      'lorikeet_adapter_canary_fallbacks_total{adapter="pirate"} 0',
      'lorikeet_adapter_canary_share{adapter="pirate"} 0.2',
    ],
    'metrics tell them apart',
  )
  t.match(await ask(served.url, 'POST', '/adapters', { name: 'pirate', canary: 0.6 }), {
    status: 200,
    json: { canary: { share: 0.6 } },
  })
  const more = on(await versions())
  t.ok(
    on(first).every((user) => more.includes(user)),
    'who has it keeps it',
  )
  t.ok(more.length > 90 && more.length < 150, `${more.length} of 200 at 60 %`)
  const anybody = new Set(await inFlight(Array.from({ length: 60 }), 8, () => versionOf(served, 'pirate')))
  t.equal(anybody.size, 2, 'who does not say who they are gets either')
  const { data } = (await served.get('/v1/models')).json
  t.equal(data.filter(({ id }: { id: string }) => id === 'pirate').length, 1)
  const [user] = on(first)
  const say = (body: object) =>
    served.post('/v1/completions', { model: 'pirate', prompt: 'Once there was a', max_tokens: 8, user, ...body })
  const four = await say({ n: 4, temperature: 0 })
  t.equal(new Set(four.body.choices.map(({ text }: { text: string }) => text)).size, 1, 'one version for all of a request')
  t.equal(four.headers.get('x-lora-digest'), other)
  const header = { 'x-lora-adapter': 'spanish;w=0.5, pirate;w=0.5' }
  t.match(await versionOf(served, 'demo', user, header), new RegExp(`, ${other}$`), 'in a mix too')
})

t.test('with keys, a tenant is a client, and its users are', async (t) => {
  const served = await start(t, { 'api-key': ['admin', 'acme=sk-1', 'other=sk-2'] })
  await served.preloaded
  const admin = { authorization: 'Bearer admin' }
  const src = path.join(served.more, 'robot')
  const { json } = await ask(served.url, 'POST', '/adapters', { name: 'pirate', src, canary: 0.5 }, admin)
  for (const key of ['sk-1', 'sk-2']) {
    const headers = { authorization: `Bearer ${key}` }
    const seen = await inFlight(Array.from({ length: 12 }), 4, () => versionOf(served, 'pirate', undefined, headers))
    t.equal(new Set(seen).size, 1, key)
    const users = await inFlight(Array.from({ length: 30 }), 8, (_, i) => versionOf(served, 'pirate', `u${i}`, headers))
    t.same(new Set(users), new Set([json.digest, json.canary.digest]), key)
  }
  t.equal((await ask(served.url, 'POST', '/adapters/pirate/promote', undefined, { authorization: 'Bearer sk-1' })).status, 403)
  t.equal((await ask(served.url, 'POST', '/adapters/pirate/promote', undefined, admin)).json.digest, json.canary.digest)
})

t.test('either version can be demanded; promoted and rolled back by one call each', async (t) => {
  const served = await start(t)
  await served.preloaded
  const before = (await served.get('/adapters/pirate')).json
  t.match(before, { canary: null, previous: null, draining: [] })
  const { digest } = before
  const other = (await set(served, 0.000001)).json.canary.digest
  const demand = (value: string) =>
    served.post('/v1/completions', { prompt: 'Once', max_tokens: 1 }, { 'x-lora-adapter': `pirate;digest="${value}"` })
  for (const version of [digest, other, other.slice(0, 8)]) {
    const { status, headers } = await demand(version)
    t.equal(status, 200)
    t.ok(headers.get('x-lora-digest')?.startsWith(version))
  }
  const mismatch = (current_digest: string) => ({
    error: { code: 'adapter_version_mismatch', message: current_digest, current_digest },
  })
  t.match(await demand('00000000'), { status: 412, body: mismatch(digest) })
  for (const verb of ['promote', 'rollback'])
    t.match(await judge(served, verb, { expected_digest: digest }), { status: 412, json: mismatch(other) }, verb)
  t.match(await set(served, 0.5, { expected_digest: other }, 'shout'), { status: 412, json: mismatch(digest) })
  t.match(await judge(served, 'promote', { expected_digest: other }), {
    status: 200,
    json: { digest: other, canary: null, previous: { digest, root: path.join(served.folder, 'pirate') } },
  })
  t.same(await versionLines(served), [], 'its series end with the canary')
  t.equal((await demand(digest)).status, 412)
  t.match(await judge(served, 'rollback'), { status: 200, json: { digest, previous: { digest: other } } })
  await set(served, 0.5, { pin: true }, 'shout')
  t.match((await served.get('/adapters/pirate')).json.canary, {
    pinned: true,
    share: 0.5,
    requests: { main: 0, canary: 0, fallbacks: 0 },
  })
  t.match(await judge(served, 'rollback', {}), { status: 200, json: { digest, canary: null, previous: { digest: other } } })
  await set(served, 0.5)
  const replaced = await ask(served.url, 'POST', '/adapters', {
    name: 'pirate',
    src: path.join(served.more, 'shout'),
    replace: true,
  })
  t.match(replaced.json, { canary: { digest: other }, previous: { digest } }, 'a replaced version leaves the canary')
  t.equal((await ask(served.url, 'DELETE', '/adapters/pirate')).status, 200)
  for (const version of [other, replaced.json.digest])
    t.equal((await demand(version)).status, 404, 'all versions go with the name')
  t.same(await served.idleComplaints(), [])
  t.equal([...served.serving.engine.residents.keys()].includes(other), false)
})

t.test('what cannot be', async (t) => {
  const served = await start(t)
  const { url, more, folder } = served
  const src = path.join(more, 'robot')
  for (const [body, status, code, param] of [
    [{ name: 'pirate', src, canary: 0 }, 400, 'invalid_request', 'canary'],
    [{ name: 'pirate', src, canary: 1 }, 400, 'invalid_request', 'canary'],
    [{ name: 'pirate', src, canary: '0.1' }, 400, 'invalid_request', 'canary'],
    [{ name: 'pirate', src, canary: 0.1, replace: true }, 400, 'invalid_request', 'replace'],
    [{ name: 'pirate', src, canary: 0.1, preload: false }, 400, 'invalid_request', 'preload'],
    [{ name: 'pirate', canary: 0.1, pin: true }, 400, 'invalid_request', 'pin'],
    [{ name: 'pirate' }, 400, 'invalid_request', 'src'],
    [{ name: 'pirate', src: path.join(folder, 'pirate'), canary: 0.1 }, 400, 'invalid_request', 'src'],
    [{ name: 'pirate', src: '/etc', canary: 0.1 }, 403, 'not_allowed', 'src'],
    [{ name: 'pirate', src: more, canary: 0.1 }, 404, 'adapter_not_found', 'src'],
    [{ name: 'pirate', canary: 0.1 }, 404, 'adapter_version_not_found', 'name'],
    [{ name: 'nobody', src, canary: 0.1 }, 404, 'model_not_found', 'name'],
    [{ name: 'demo', src, canary: 0.1 }, 404, 'model_not_found', 'name'],
  ] as const)
    t.match(await ask(url, 'POST', '/adapters', body), { status, json: { error: { code, param } } }, JSON.stringify(body))
  for (const [route, body, status, code] of [
    ['/adapters/pirate/promote', undefined, 404, 'adapter_version_not_found'],
    ['/adapters/pirate/rollback', undefined, 404, 'adapter_version_not_found'],
    ['/adapters/nobody/promote', undefined, 404, 'model_not_found'],
    ['/adapters/promote', undefined, 404, 'route_not_found'],
    ['/adapters/pirate', {}, 404, 'route_not_found'],
    ['/adapters/pirate%2Fpromote', {}, 404, 'route_not_found'],
    ['/adapters/pirate/promote', { digest: 'x' }, 400, 'unknown_parameter'],
    ['/adapters/pirate/promote', [], 400, 'invalid_request'],
  ] as const)
    t.match(await ask(url, 'POST', route, body), { status, json: { error: { code } } }, route)
  const typed = await fetch(`${url}/adapters/nobody/promote`, { method: 'POST', headers: { 'content-type': 'application/json' } })
  t.match([typed.status, await typed.json()], [404, { error: { code: 'model_not_found' } }], 'a type of nothing is no body')
  const off = await start(t, { 'allow-adapter-management': false })
  t.match(await judge(off, 'promote'), { status: 403, json: { error: { code: 'not_allowed' } } })
})

t.test('names with slashes, also such as end like a verb', async (t) => {
  const served = await start(t)
  const { url, more } = served
  const [robot, shout] = [path.join(more, 'robot'), path.join(more, 'shout')]
  for (const name of ['a', 'a/promote', 'team/ü x']) {
    await ask(url, 'POST', '/adapters', { name, src: robot })
    t.equal((await ask(url, 'POST', '/adapters', { name, src: shout, canary: 0.5 })).status, 200)
  }
  const standing = async (name: string) => path.basename((await served.get(`/adapters/${encodeURIComponent(name)}`)).json.root)
  t.equal((await judge(served, 'promote', undefined, 'a/promote')).json.name, 'a/promote')
  t.same([await standing('a'), await standing('a/promote')], ['robot', 'shout'])
  t.equal((await judge(served, 'rollback', undefined, 'a%2Fpromote')).json.name, 'a/promote')
  t.equal(await standing('a/promote'), 'robot')
  t.equal((await judge(served, 'promote?x=/rollback', undefined, encodeURIComponent('team/ü x'))).json.name, 'team/ü x')
  t.equal(await standing('team/ü x'), 'shout')
  t.equal((await judge(served, 'promote', undefined, 'a')).json.name, 'a')
})

t.test('a canary whose files have gone costs no request', async (t) => {
  const served = await start(t, { 'adapter-idle-timeout': 1 })
  // Its digest is not known before.
  await served.preloaded
  const away = path.join(served.more, 'away')
  const { digest, canary } = (await set(served, 0.999999)).json
  t.equal(await versionOf(served, 'pirate', 'x'), canary.digest)
  renameSync(path.join(served.more, 'robot'), away)
  while ((await served.get('/adapters/pirate')).json.canary.state !== 'known') await setTimeout(50)
  t.equal(await versionOf(served, 'pirate', 'x'), digest)
  t.equal(await versionOf(served, 'pirate'), digest)
  const header = { 'x-lora-adapter': `pirate;digest="${canary.digest}"` }
  const demanded = await served.post('/v1/completions', { prompt: 'Once', max_tokens: 1 }, header)
  t.match(demanded, { status: 400, body: { error: { code: 'adapter_refused' } } }, 'who demands it is told')
  const told = (await served.get('/adapters/pirate')).json
  t.match(told, { state: 'loaded', canary: { state: 'refused', refusal: /./, requests: { main: 2, canary: 1, fallbacks: 2 } } })
  t.ok((await versionLines(served)).includes('lorikeet_adapter_canary_fallbacks_total{adapter="pirate"} 2'))
  t.match(await judge(served, 'promote'), { status: 404, json: { error: { code: 'adapter_not_found' } } })
  renameSync(away, path.join(served.more, 'robot'))
  t.equal(await versionOf(served, 'pirate', 'x'), canary.digest, 'it is there again')
})

t.test('a storm of canaries: every answer is what the version that it names says', async (t) => {
  // Host memory for four of the five, a pool for some.
  const served = await start(t, { 'host-memory': '700KiB', pool: '6MiB' })
  const versions = ['pirate', 'spanish', 'robot', 'shout', 'json']
  const folders = versions.map((name) => path.join(served.more, `v-${name}`))
  for (const [i, name] of versions.entries())
    cpSync(path.join(i < 2 ? served.folder : served.more, name), folders[i], { recursive: true })
  const post = (body: object) => ask(served.url, 'POST', '/adapters', { name: 'x', ...body })
  const said = new Map<string, string>()
  for (const src of folders) {
    t.equal((await post({ src, replace: true })).status, 200)
    const { headers, body } = await chat(served, 'x')
    said.set(headers.get('x-lora-digest') as string, body.choices[0].message.content)
  }
  t.equal(new Set(said.values()).size, 5, 'five versions that say five things')
  const random = seeded(11)
  let going = true
  const wrong: string[] = []
  const seen = new Map<string, number>()
  const clients = Promise.all(
    Array.from({ length: 12 }, async (_, i) => {
      while (going) {
        const [demanded] = random.below(4) === 0 ? [random.pick([...said.keys()])] : []
        const headers: Record<string, string> = demanded ? { 'x-lora-adapter': `x;digest="${demanded}"` } : {}
        const answer = await chat(served, random.pick(['x', 'x', 'pirate']), headers, `client ${i}`)
        const digest = answer.headers.get('x-lora-digest') as string
        if (answer.status === 412 && demanded && answer.body.error.current_digest !== demanded) continue
        seen.set(digest, (seen.get(digest) ?? 0) + 1)
        if (
          answer.status !== 200 ||
          answer.body.choices[0].message.content !== said.get(digest) ||
          (demanded && demanded !== digest)
        )
          wrong.push(`${answer.status} ${digest} ${JSON.stringify(answer.body)}`)
      }
    }),
  )
  const statuses = new Map<string, number>()
  await inFlight(Array.from({ length: 200 }), 3, async () => {
    const src = random.pick(folders)
    const verb = random.pick(['canary', 'canary', 'canary', 'weigh', 'promote', 'promote', 'rollback', 'replace'])
    const { status, text } = await (verb === 'canary'
      ? post({ src, canary: random.pick([0.05, 0.5, 0.9]) })
      : verb === 'weigh'
        ? post({ canary: 0.3 })
        : verb === 'replace'
          ? post({ src, replace: true })
          : judge(served, verb, undefined, 'x'))
    statuses.set(`${verb} ${status}`, (statuses.get(`${verb} ${status}`) ?? 0) + 1)
    // The folder may be the name's own by chance; or there is no canary, or nothing before.
    const may = verb === 'canary' ? [200, 400] : verb === 'replace' ? [200] : [200, 404]
    if (!may.includes(status)) wrong.push(`${verb}: ${status} ${text}`)
  })
  going = false
  await clients
  t.same(wrong, [], `${[...seen.values()].reduce((sum, n) => sum + n, 0)} answers; ${JSON.stringify([...statuses])}`)
  t.equal(seen.size, 5, 'each version has answered')
  for (const verb of ['canary', 'weigh', 'promote', 'rollback', 'replace']) t.ok((statuses.get(`${verb} 200`) ?? 0) > 3, verb)
  t.same(await served.idleComplaints(), [])
  t.ok(served.serving.engine.snapshot.counters.prefixHits > 0, 'prefixes were shared')
  const { leases, draining, canary } = (await served.get('/adapters/x')).json
  t.same([leases, draining, canary?.leases ?? 0], [0, [], 0])
  for (const { name } of (await served.get('/adapters')).json.adapters) await ask(served.url, 'DELETE', `/adapters/${name}`)
  await served.serving.engine.idle()
  t.equal(served.serving.engine.residents.size, 0, 'unloading frees the pool')
  t.equal(served.serving.engine.snapshot.blocks.adapters, 0)
})
