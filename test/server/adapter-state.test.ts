/** What was registered over HTTP is there after the end, however that came. */
import { cpSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { seeded } from '../support/pace.ts'
import { demoModel, temporaryFolder } from '../support/repo.ts'
import { serving } from './cli/running.ts'

const STYLES = ['pirate', 'spanish', 'robot', 'shout', 'json']

t.test('loaded, replaced, pinned and unloaded, then killed: every change that was acknowledged is there', async (t) => {
  const folder = temporaryFolder(t)
  const more = temporaryFolder(t)
  const state = path.join(temporaryFolder(t), 'state')
  for (const name of STYLES.slice(0, 2)) cpSync(demoModel(`adapters/${name}`), path.join(folder, name), { recursive: true })
  for (const name of STYLES) cpSync(demoModel(`adapters/${name}`), path.join(more, name), { recursive: true })
  const start = (roots = more) =>
    serving(t, ['--adapters', folder, '--adapter-roots', roots, '--allow-adapter-management', '--state-dir', state])
  const random = seeded(3)
  /** What should be there: the folder of each name, and whether it is pinned. */
  const expected = new Map(STYLES.slice(0, 2).map((name) => [name, { root: path.join(folder, name), pinned: false }]))
  const listed = async (address: string) => {
    const { adapters } = (await (await fetch(`${address}/adapters`)).json()) as {
      adapters: { name: string; root: string; pinned: boolean }[]
    }
    return adapters.map(({ name, root, pinned }) => [name, { root, pinned }])
  }
  const sorted = () => [...expected].sort(([a], [b]) => (a < b ? -1 : 1))
  for (let round = 0; round < 3; round++) {
    const { child, address, ended } = await start()
    t.same(await listed(address), sorted(), `round ${round}`)
    for (let i = 0; i < 12; i++) {
      const name = random.pick(['pirate', 'spanish', 'x', 'y', 'team/ü'])
      if (random.below(3) === 0) {
        const { status } = await fetch(`${address}/adapters/${encodeURIComponent(name)}`, { method: 'DELETE' })
        t.equal(status, expected.delete(name) ? 200 : 404)
        continue
      }
      const pin = random.below(2) === 0
      const src = path.join(more, random.pick(STYLES))
      const response = await fetch(`${address}/adapters`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ name, src, pin, replace: true, preload: random.below(2) === 0 }),
      })
      t.equal(response.status, 200)
      expected.set(name, { root: src, pinned: pin })
    }
    t.same(await listed(address), sorted())
    child.kill(round === 2 ? 'SIGTERM' : 'SIGKILL')
    await ended
  }
  const { address } = await start(temporaryFolder(t))
  const inside = sorted().filter(([, { root }]) => root.startsWith(folder))
  t.same(await listed(address), inside, 'what lies outside the places that may be read from is not served')
})
