/** How an adapter came to be served is told of each, and is so after a restart too. */
import { cpSync } from 'node:fs'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { request } from '../support/http.ts'
import { demoModel, temporaryFolder } from '../support/repo.ts'
import { startServed } from '../support/served.ts'

interface Told {
  name: string
  origin: string
  root: string
  source: string | null
  digest: string | null
  canary: { origin: string } | null
}

t.test('what is where', async (t) => {
  const folder = temporaryFolder(t)
  const more = temporaryFolder(t)
  const put = (style: string, to: string, as = style) =>
    cpSync(demoModel('adapters', style), path.join(to, as), { recursive: true })
  for (const style of ['pirate', 'spanish']) put(style, folder)
  for (const style of ['robot', 'shout']) put(style, more)
  const settings = {
    model: demoModel('base'),
    adapters: folder,
    'adapter-roots': [more],
    adapter: { given: demoModel('adapters/json') },
    'allow-adapter-management': true,
    'state-dir': path.join(temporaryFolder(t), 'state'),
    watch: true,
  }
  const list = async (url: string) => (await request(`${url}/adapters`)).json.adapters as Told[]
  const origins = async (url: string) => Object.fromEntries((await list(url)).map(({ name, origin }) => [name, origin]))
  const post = async (url: string, body: object) =>
    t.equal((await request(`${url}/adapters`, { body: JSON.stringify(body) })).status, 200)

  await t.test('while the server runs', async (t) => {
    const { url } = await startServed(t, settings)
    t.same(await origins(url), { given: 'command_line', pirate: 'folder', spanish: 'folder' })
    await post(url, { name: 'robot', src: path.join(more, 'robot') })
    const syncer = { lora_name: 'synced', lora_path: path.join(more, 'shout') }
    t.equal((await request(`${url}/v1/load_lora_adapter`, { body: JSON.stringify(syncer) })).status, 200)
    await post(url, { name: 'pirate', pin: true })
    await post(url, { name: 'spanish', src: path.join(more, 'shout'), canary: 0.5 })
    put('emoji', folder, 'came')
    for (const until = performance.now() + 30_000; performance.now() < until; await setTimeout(100))
      if ('came' in (await origins(url))) break
    t.same(await origins(url), {
      came: 'folder',
      given: 'command_line',
      pirate: 'folder',
      robot: 'api',
      spanish: 'folder',
      synced: 'api',
    })
    const spanish = (await list(url)).find(({ name }) => name === 'spanish')
    t.match(spanish, { root: path.join(folder, 'spanish'), source: null, digest: String, canary: { origin: 'api' } })
    await post(url, { name: 'given', src: path.join(more, 'robot'), replace: true })
    t.equal((await origins(url)).given, 'api', 'it is another one now')
  })

  await t.test('at the next start', async (t) => {
    const { url } = await startServed(t, settings)
    t.same(await origins(url), {
      came: 'folder',
      given: 'api',
      pirate: 'folder',
      robot: 'api',
      spanish: 'folder',
      synced: 'api',
    })
    t.match((await request(`${url}/adapters/spanish`)).json, { canary: { origin: 'api' } })
  })
})
