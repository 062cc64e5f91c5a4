/** The Inference Extension's LoRA syncer against real servers: a ConfigMap that changes from round to round, adapters that cannot be had, a server that is killed and comes again. */
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t, { type Test } from 'tap'
import { serving } from '../server/cli/running.ts'
import { request } from '../support/http.ts'
import { LoraSyncer, type Round, type SyncerConfig } from '../support/lora-syncer.ts'
import { freePorts } from '../support/ports.ts'
import { demoModel, temporaryFolder } from '../support/repo.ts'
import { type Served, startServed } from '../support/served.ts'

const style = (name: string, folder: string, as = name) => {
  rmSync(path.join(folder, as), { recursive: true, force: true })
  cpSync(demoModel('adapters', name), path.join(folder, as), { recursive: true })
  return path.join(folder, as)
}

/** The files are whole, and say of themselves what is not so: ranks are not those of the tensors. */
function misfit(name: string, folder: string, as: string): string {
  const directory = style(name, folder, as)
  const file = path.join(directory, 'adapter_config.json')
  const config = JSON.parse(readFileSync(file, 'utf8')) as { r: number }
  writeFileSync(file, JSON.stringify({ ...config, r: config.r * 2 }))
  return directory
}

async function start(t: Test, settings: Record<string, unknown> = {}) {
  const folder = temporaryFolder(t)
  const more = temporaryFolder(t)
  style('spanish', folder)
  const served = await startServed(t, {
    model: demoModel('base'),
    'served-model-name': 'demo',
    adapters: folder,
    'adapter-roots': [more],
    'allow-adapter-management': true,
    'max-lora-rank': 16,
    ...settings,
  })
  return { served, folder, more, syncer: new LoraSyncer(served.url) }
}

const say = (served: Served, model: string) =>
  served.post('/v1/completions', { model, prompt: 'Once there was a', max_tokens: 12, temperature: 0 })

const round = async (syncer: LoraSyncer, config: SyncerConfig): Promise<Round> => {
  const done = await syncer.round(config)
  if (!done) throw new Error('the server was not healthy')
  return done
}

t.test('round after round the server has what the ConfigMap says', async (t) => {
  const { served, folder, more, syncer } = await start(t)
  const config: SyncerConfig = {
    defaultBaseModel: 'demo',
    ensureExist: {
      models: [
        { id: 'pirate', source: style('pirate', more) },
        { id: 'robot', source: style('robot', more), 'base-model': 'meta-llama/another' },
        { id: 'shout', source: style('shout', more), 'base-model': null },
        { id: 'spanish', source: path.join(folder, 'spanish') },
      ],
    },
    ensureNotExist: { models: [{ id: 'never-was', source: '' }] },
  }
  t.same(await round(syncer, config), {
    loaded: ['pirate', 'robot', 'shout'],
    unloaded: [],
    left: ['spanish', 'never-was'],
    failed: new Map(),
  })
  t.same((await syncer.registered()).sort(), ['demo', 'pirate', 'robot', 'shout', 'spanish'])
  const { uses } = (await request(`${served.url}/adapters/pirate`)).json
  for (let again = 0; again < 3; again++)
    t.same(await round(syncer, config), {
      loaded: [],
      unloaded: [],
      left: ['pirate', 'robot', 'shout', 'spanish', 'never-was'],
      failed: new Map(),
    })
  t.equal((await request(`${served.url}/adapters/pirate`)).json.uses, uses, 'what is there is not read again')
  const pirate = (await say(served, 'pirate')).headers.get('x-lora-digest')

  await t.test('what is to go goes; in both lists, it is left alone', async (t) => {
    const next: SyncerConfig = {
      ensureExist: { models: config.ensureExist?.models.filter(({ id }) => id !== 'robot') ?? [] },
      ensureNotExist: {
        models: [
          { id: 'robot', source: path.join(more, 'robot') },
          { id: 'shout', source: path.join(more, 'shout') },
        ],
      },
    }
    const stream = await fetch(`${served.url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'robot', prompt: 'Once', max_tokens: 200, ignore_eos: true, stream: true }),
    })
    t.same(await round(syncer, next), { loaded: [], unloaded: ['robot'], left: ['pirate', 'spanish'], failed: new Map() })
    t.match(await stream.text(), /"finish_reason":"length"[^\n]*\n\ndata: \[DONE\]\n\n$/, 'who uses it goes on')
    t.equal((await say(served, 'robot')).status, 404)
    t.equal((await say(served, 'shout')).status, 200)
    t.same((await round(syncer, next)).left, ['pirate', 'spanish', 'robot'])
  })

  await t.test('a name that went comes again with other weights', async (t) => {
    const gone: SyncerConfig = { ensureNotExist: { models: [{ id: 'pirate', source: '' }] } }
    t.same((await round(syncer, gone)).unloaded, ['pirate'])
    style('robot', more, 'pirate')
    t.same((await round(syncer, config)).loaded, ['pirate', 'robot'])
    const [now, robot] = await Promise.all([say(served, 'pirate'), say(served, 'robot')])
    t.equal(now.headers.get('x-lora-digest'), robot.headers.get('x-lora-digest'))
    t.not(now.headers.get('x-lora-digest'), pirate)
  })
  t.same(await served.idleComplaints(), [])
})

t.test('what cannot be served is refused round after round, without harm, until it can', async (t) => {
  const { served, folder, more, syncer } = await start(t)
  const config: SyncerConfig = {
    ensureExist: {
      models: [
        { id: 'missing', source: path.join(more, 'missing') },
        { id: 'elsewhere', source: '/no/such/place' },
        { id: 'of-the-hub', source: 'my-org/not-allowed' },
        { id: 'too-high', source: style('rhyme', more) },
        { id: 'misfit', source: misfit('pirate', more, 'misfit') },
        { id: 'no,name', source: style('shout', more) },
        { id: 'robot', source: style('robot', more) },
      ],
    },
  }
  const expected: [string, number, RegExp][] = [
    ['missing', 404, /"param":"lora_path","code":"adapter_not_found"/],
    ['elsewhere', 403, /"param":"lora_path","code":"not_allowed"/],
    ['of-the-hub', 404, /"param":"lora_path","code":"adapter_not_found"/],
    ['too-high', 400, /rank is 32.*"param":"lora_path","code":"adapter_refused"/],
    ['misfit', 400, /"param":"lora_path","code":"adapter_refused"/],
    ['no,name', 400, /commas.*"param":"lora_name"/],
  ]
  for (const [i, loaded] of [['robot'], [], []].entries()) {
    const done = await round(syncer, config)
    t.same(done.loaded, loaded, 'those after it in the list are not held up')
    t.same(
      [...done.failed.keys()],
      expected.map(([id]) => id),
    )
    for (const [id, status, text] of expected) {
      t.equal(done.failed.get(id)?.status, status, `round ${i}: ${id}`)
      t.match(done.failed.get(id)?.text, text)
    }
    t.same((await syncer.registered()).sort(), ['demo', 'robot', 'spanish'], 'no name stands for what cannot be served')
  }
  style('json', more, 'missing')
  style('pirate', more, 'misfit')
  t.same((await round(syncer, config)).loaded, ['missing', 'misfit'])
  t.equal((await say(served, 'misfit')).status, 200)

  await t.test('a name whose folder of --adapters was refused can be had from elsewhere', async (t) => {
    misfit('shout', folder, 'shout')
    const { served, syncer } = await start(t, { adapters: folder, 'adapter-roots': [more] })
    await served.preloaded
    t.notOk((await syncer.registered()).includes('shout'), 'the list has it not')
    const wanted: SyncerConfig = { ensureExist: { models: [{ id: 'shout', source: style('shout', more, 'good-shout') }] } }
    t.same(await round(syncer, wanted), { loaded: ['shout'], unloaded: [], left: [], failed: new Map() })
    t.equal((await say(served, 'shout')).status, 200)
    t.same((await round(syncer, wanted)).left, ['shout'])
  })
  t.same(await served.idleComplaints(), [])
})

t.test('two rounds at once, as when the file changes while one runs', async (t) => {
  const { served, more, syncer } = await start(t)
  const styles = ['pirate', 'robot', 'json', 'emoji']
  const models = styles.map((id) => ({ id, source: style(id, more) }))
  for (let i = 0; i < 3; i++) {
    const rounds = await Promise.all([1, 2, 3].map(() => round(syncer, { ensureExist: { models } })))
    for (const { failed } of rounds)
      for (const { status, text } of failed.values()) t.match({ status, text }, { status: 400, text: /has already been loaded/ })
    t.same((await syncer.registered()).sort(), ['demo', ...styles, 'spanish'].sort())
    for (const id of styles) t.equal((await say(served, id)).status, 200)
    const gone = await Promise.all([1, 2, 3].map(() => round(syncer, { ensureNotExist: { models } })))
    for (const { failed } of gone) for (const { status } of failed.values()) t.equal(status, 404)
    t.same((await syncer.registered()).sort(), ['demo', 'spanish'])
  }
  t.same(await served.idleComplaints(), [])
  t.equal(served.serving.engine.residents.size, 0)
})

t.test('a syncer that starts before its server, and a server that is killed', async (t) => {
  const more = temporaryFolder(t)
  const config: SyncerConfig = { ensureExist: { models: [{ id: 'pirate', source: style('pirate', more) }] } }
  const [port] = await freePorts(1)
  const args = ['--port', `${port}`, '--adapter-roots', more, '--allow-adapter-management', '--log-level', 'error']
  const syncer = new LoraSyncer(`http://127.0.0.1:${port}`, 60_000)
  t.equal(await new LoraSyncer(`http://127.0.0.1:${port}`, 1).round(config), undefined)
  for (const time of ['first', 'second']) {
    const [done, { child, ended }] = await Promise.all([syncer.round(config), serving(t, [demoModel('base'), ...args])])
    t.same(done, { loaded: ['pirate'], unloaded: [], left: [], failed: new Map() }, `the ${time} start`)
    t.same((await syncer.round(config))?.left, ['pirate'])
    child.kill('SIGKILL')
    await ended
  }
})
