/** The thread that downloads. */
import { existsSync } from 'node:fs'
import type { ServerResponse } from 'node:http'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { HubDownloads, type HubName, type HubProgress, parseHubName } from '../../../adapters-store/index.ts'
import { filesOf, localHub } from '../../support/local-hub.ts'
import { demoModel, temporaryFolder } from '../../support/repo.ts'

const PIRATE = parseHubName('org/pirate') as HubName
const never = () => new AbortController().signal

async function start(t: Test) {
  const local = await localHub(t)
  local.commit('org/pirate', filesOf(demoModel('adapters/pirate')))
  const downloads = new HubDownloads({ endpoint: local.endpoint, offline: false, cache: path.join(temporaryFolder(t), 'hub') })
  t.teardown(() => downloads.close())
  const held: ServerResponse[] = []
  return {
    local,
    downloads,
    held,
    hold: (file: string, _content: Buffer, _from: number, response: ServerResponse) =>
      file.endsWith('.safetensors') && held.push(response) > 0,
  }
}

t.test('fetches, tells how far it is, and what goes wrong', async (t) => {
  const { downloads } = await start(t)
  const told: HubProgress[] = []
  downloads.onProgress = (progress) => told.push(progress)
  t.equal(await downloads.cached(PIRATE, 'adapter'), undefined)
  const [one, other] = await Promise.all([
    downloads.fetch(PIRATE, 'adapter', never()),
    downloads.fetch(PIRATE, 'adapter', never()),
  ])
  t.same(one, other)
  t.ok(existsSync(path.join(one.directory, 'adapter_model.safetensors')))
  t.same(await downloads.cached(PIRATE, 'adapter'), one)
  t.match(told[0], { name: 'org/pirate', bytes: 0, ended: false })
  t.match(told.at(-1), { name: 'org/pirate', bytes: told[0].totalBytes, ended: true })
  await t.rejects(downloads.fetch({ ...PIRATE, repo: 'org/none' }, 'adapter', never()), {
    code: 'hub_not_found',
    detail: /org\/none/,
  })
  await t.rejects(downloads.fetch({ ...PIRATE, revision: 'x' }, 'adapter', never(), 10), { code: 'hub_not_found' })
  await setTimeout(1300) // it has ended by now
  await t.rejects(downloads.fetch(PIRATE, 'adapter', never(), 10), { code: 'adapter_too_large' })
})

t.test('who leaves is told at once, and the download ends', async (t) => {
  const { local, downloads, held, hold } = await start(t)
  local.misbehave = hold
  const left = new AbortController()
  const fetching = downloads.fetch(PIRATE, 'adapter', left.signal)
  while (held.length === 0) await setTimeout(5)
  left.abort(new Error('left'))
  await t.rejects(fetching, { message: 'left' })
  await t.rejects(downloads.fetch(PIRATE, 'adapter', left.signal), { message: 'left' })
  for (let i = 0; i < 400 && !held[0].destroyed; i++) await setTimeout(5)
  t.ok(held[0].destroyed)
})

t.test('closing ends what is under way', async (t) => {
  const { local, downloads, held, hold } = await start(t)
  local.misbehave = hold
  const fetching = downloads.fetch(PIRATE, 'adapter', never())
  while (held.length === 0) await setTimeout(5)
  await Promise.all([t.rejects(fetching, { code: 'adapter_store_closed' }), downloads.close()])
  await t.rejects(downloads.fetch(PIRATE, 'adapter', never()), { code: 'adapter_store_closed' })
})
