/** KV events over the wire: in vLLM's form, true while adapters are swapped under load in a small pool, with hashes that the documented rule gives, and told again to who missed some. */
import { spawnSync } from 'node:child_process'
import { cpSync, readFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import type { AdapterUse } from '../../../runtime/index.ts'
import { Sequence } from '../../../runtime/scheduler/sequence.ts'
import { blockHashes } from '../../support/block-hashes.ts'
import { request } from '../../support/http.ts'
import { askAgain, hex, KvSubscriber } from '../../support/kv-subscriber.ts'
import { demoModel, fixture, repoRoot, temporaryFolder } from '../../support/repo.ts'
import { type Served, startServed } from '../../support/served.ts'

const config = {
  enable_kv_cache_events: true,
  endpoint: 'tcp://127.0.0.1:*',
  replay_endpoint: 'tcp://127.0.0.1:*',
  topic: 'kv@pod@demo',
}

interface Cached {
  sequence: number
  block_size: number
  block_hashes: string[]
}

async function start(t: Parameters<typeof startServed>[0], more: object = {}, settings: object = {}) {
  const served = await startServed(t, {
    'kv-events-config': { ...config, ...more },
    model: demoModel('base'),
    'served-model-name': 'demo',
    pool: '6MiB',
    'allow-adapter-management': true,
    ...settings,
  })
  const { kvEvents } = served
  if (!kvEvents) throw new Error('no events are published')
  const subscriber = new KvSubscriber(kvEvents.endpoint, kvEvents.replayEndpoint as string, 'kv@')
  await subscriber.begin()
  return { served, subscriber, endpoint: kvEvents.endpoint, replayEndpoint: kvEvents.replayEndpoint as string }
}

const cached = async ({ url }: Served): Promise<Cached> => JSON.parse((await request(`${url}/kv_events/blocks`)).text)

/** The server's own set against the believed one, as of the same batch. */
async function compare(t: Test, served: Served, subscriber: KvSubscriber, what: string): Promise<Cached> {
  const own = await cached(served)
  await subscriber.upTo(own.sequence)
  // Later batches may have come since: the engine is at rest.
  t.equal(subscriber.sequence, own.sequence, `${what}: nothing came meanwhile`)
  t.same(subscriber.believed.differences(own.block_hashes), [], `${what}: ${own.block_hashes.length} blocks`)
  return own
}

t.test('what it believes is cached is what is, while adapters are swapped and the pool is small', async (t) => {
  const folder = temporaryFolder(t)
  const styles = ['pirate', 'json', 'emoji', 'headline']
  for (const style of styles) cpSync(demoModel('adapters', style), path.join(folder, style), { recursive: true })
  const { served, subscriber } = await start(t, {}, { adapters: folder })
  t.teardown(() => subscriber.close())
  // Success is a text.
  const post = (at: string, body: object) =>
    fetch(`${served.url}${at}`, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
  const swap = (name: string, source: string) =>
    post('/v1/load_lora_adapter', { lora_name: name, lora_path: path.join(folder, source), load_inplace: true })
  const complete = async (model: string, i: number) => {
    const prompt = `${'tell me again of the sea and the wind, '.repeat(1 + (i % 4))} number ${i % 7}`
    const { status } = await served.post('/v1/completions', { model, prompt, max_tokens: 8 + (i % 24), temperature: 0 })
    t.ok(status === 200 || status === 404, `${model}: ${status}`)
  }
  t.equal((await swap('swapped', 'pirate')).status, 200)
  let n = 0
  for (let round = 0; round < 6; round++) {
    const load = Array.from({ length: 12 }, () => {
      const i = n++
      return complete(i % 3 === 0 ? 'demo' : i % 3 === 1 ? 'swapped' : styles[i % styles.length], i)
    })
    t.equal((await swap('swapped', styles[(round + 1) % styles.length])).status, 200)
    await Promise.all(load)
    await served.serving.engine.idle()
    await compare(t, served, subscriber, `round ${round}`)
  }
  t.equal((await post('/v1/unload_lora_adapter', { lora_name: 'swapped' })).status, 200)
  for (const style of styles) t.equal((await post('/v1/unload_lora_adapter', { lora_name: style })).status, 200)
  await served.serving.engine.idle()
  const { block_hashes } = await compare(t, served, subscriber, 'without adapters')
  t.same(subscriber.believed.faults, [])
  t.ok(subscriber.believed.removed > 30, `${subscriber.believed.stored} stored, ${subscriber.believed.removed} removed`)
  const adapted = new Set(
    subscriber.batches.flatMap(({ events }) =>
      events.flatMap((event) => (event.type === 'BlockStored' && event.lora_name !== null ? event.block_hashes.map(hex) : [])),
    ),
  )
  t.ok(adapted.size > 20)
  t.same(
    block_hashes.filter((hash) => adapted.has(hash)),
    [],
    'what was computed with adapters that went is not believed to be there',
  )
  t.ok(subscriber.batches.every(({ topic, rank }) => topic === 'kv@pod@demo' && rank === 0))
})

t.test('hashes are those that the documented rule gives', async (t) => {
  const { served, subscriber } = await start(t, {}, { adapters: demoModel('adapters') })
  t.teardown(() => subscriber.close())
  const tokens = (
    await served.post('/tokenize', { model: 'demo', prompt: 'the quick brown fox jumps over the lazy dog '.repeat(6) })
  ).body.tokens as number[]
  const run = (model: string, more: object = {}) =>
    served.post('/v1/completions', { model, prompt: tokens, max_tokens: 1, temperature: 0, ...more })
  await run('demo')
  await run('pirate')
  await run('pirate', { cache_salt: 'sälz "1"' })
  await served.serving.engine.idle()
  const { sequence, block_size } = await cached(served)
  await subscriber.upTo(sequence)
  const stored = subscriber.batches.flatMap(({ events }) => events.filter((event) => event.type === 'BlockStored'))
  const digest = JSON.parse((await request(`${served.url}/v1/models/pirate`)).text).digest as string
  t.match(digest, /^[0-9a-f]{64}$/)
  const expected = [
    { name: null, keys: null, hashes: blockHashes(tokens, block_size) },
    { name: 'pirate', keys: ['pirate', digest], hashes: blockHashes(tokens, block_size, { adapters: `${digest}:1` }) },
    {
      name: 'pirate',
      keys: ['pirate', digest, 'cache_salt=sälz "1"'],
      hashes: blockHashes(tokens, block_size, { adapters: `${digest}:1`, cacheSalt: 'sälz "1"' }),
    },
  ]
  t.equal(stored.length, expected.length)
  for (const [i, { name, keys, hashes }] of expected.entries()) {
    const event = stored[i]
    t.ok(hashes.length >= 2)
    t.same(event.block_hashes.map(hex), hashes)
    t.equal(event.parent_block_hash, null)
    t.same(event.token_ids, tokens.slice(0, hashes.length * block_size))
    t.match(event, { block_size, lora_id: null, lora_name: name, medium: 'GPU' })
    t.same(
      event.extra_keys,
      hashes.map(() => keys),
    )
  }
})

const python = (...args: string[]) => spawnSync('python3', args, { encoding: 'utf8' })
const missing = (module: string) => (python('-c', `import ${module}`).status === 0 ? undefined : module)

t.test('the worked example, in TypeScript and Python', async (t) => {
  const tokens = [5, 8, 13, 21, 34, 55, 89, 144, 233]
  const adapters = `${'ab'.repeat(32)}:1`
  const example = [
    blockHashes(tokens, 4),
    blockHashes(tokens, 4, { adapters }),
    blockHashes(tokens, 4, { adapters, cacheSalt: 'salt', tenant: 'acme' }),
    blockHashes(tokens, 4, { adapters, from: 6 }),
  ]
  // What the engine makes of the same.
  const uses = [{ name: 'x', digest: 'ab'.repeat(32), weight: 1 }]
  const made = (adapters: AdapterUse[], more: object = {}) => {
    const request = { id: 'a', promptIds: Int32Array.from(tokens), adapters, arrival: 0, ...more }
    const sequence = new Sequence({ ...request, sampling: { promptLogprobs: -1 }, lists: {} } as never, 0n, 0)
    return [0, 1].map((i) => Buffer.from(sequence.hash(i, 4), 'base64').toString('hex'))
  }
  t.same(
    [made([]), made(uses), made(uses, { cacheSalt: 'salt', tenant: 'acme' }), made(uses, { adaptersFrom: 6, cachedFrom: 6 })],
    example,
  )
  const docs = readFileSync(path.join(repoRoot(), 'docs/kv-events.md'), 'utf8')
  for (const hash of example.flat()) t.ok(docs.includes(hash), `docs/kv-events.md says ${hash}`)
  await t.test('in Python', { skip: missing('json') && 'python3 cannot be run' }, async (t) => {
    const { status, stdout, stderr } = python(fixture('kv-events', 'block_hashes.py'))
    t.equal(status, 0, stderr)
    t.same(JSON.parse(stdout), example)
  })
})

t.test('past batches are told again: topic, number, payload, and an end', async (t) => {
  const { served, subscriber, replayEndpoint } = await start(t, { buffer_steps: 4 })
  t.teardown(() => subscriber.close())
  for (let i = 0; i < 8; i++)
    await served.post('/v1/completions', { model: 'demo', prompt: `${i} ${'and so on '.repeat(20)}`, max_tokens: 1 })
  await served.serving.engine.idle()
  const { sequence } = await cached(served)
  await subscriber.upTo(sequence)
  t.ok(sequence >= 8)
  const again = await askAgain(replayEndpoint, 0)
  t.same(again, subscriber.batches.slice(-4), 'as many as are kept, as they were')
  t.same(
    (await askAgain(replayEndpoint, sequence)).map((batch) => batch.sequence),
    [sequence],
  )
  t.same(await askAgain(replayEndpoint, sequence + 1), [])
})

t.test('the first batch says that nothing is cached, and so does the last', async (t) => {
  let subscriber: KvSubscriber | undefined
  await t.test('a server that ends', async (t) => {
    const { served, subscriber: one } = await start(t)
    subscriber = one
    t.same(one.batches[0].events, [{ type: 'AllBlocksCleared' }])
    await served.post('/v1/completions', { model: 'demo', prompt: 'and so on '.repeat(20), max_tokens: 1 })
    const { sequence } = await cached(served)
    await one.upTo(sequence)
    t.ok(one.believed.blocks.size > 0)
  })
  for (let i = 0; i < 50 && (subscriber?.believed.blocks.size ?? 0) > 0; i++)
    await new Promise((resolve) => setTimeout(resolve, 20))
  t.same(subscriber?.batches.at(-1)?.events, [{ type: 'AllBlocksCleared' }])
  t.equal(subscriber?.believed.blocks.size, 0)
  await subscriber?.close()
})

const lacking = missing('zmq') ?? missing('msgspec')
t.test('a client of vLLM reads it (pyzmq, msgspec)', { skip: lacking && `python3 has no ${lacking}` }, async (t) => {
  const { served, subscriber, endpoint, replayEndpoint } = await start(t, {}, { adapters: demoModel('adapters') })
  t.teardown(() => subscriber.close())
  for (let i = 0; i < 24; i++)
    await served.post('/v1/completions', {
      model: ['demo', 'pirate', 'json'][i % 3],
      prompt: `${i % 9} ${'and so on, and on '.repeat(6 + (i % 5))}`,
      max_tokens: 4,
    })
  await served.serving.engine.idle()
  const own = await cached(served)
  const { status, stdout, stderr } = python(
    fixture('kv-events', 'subscriber.py'),
    endpoint,
    replayEndpoint,
    'kv@',
    `${own.sequence}`,
  )
  t.equal(status, 0, stderr)
  const told = JSON.parse(stdout) as { hashes: string[]; names: string[]; stored: number; removed: number }
  t.same(told.hashes.sort(), [...own.block_hashes].sort())
  t.same(told.names.sort(), ['json', 'pirate'])
  t.ok(told.removed > 0 || told.stored > 10)
})
