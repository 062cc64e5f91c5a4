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

/** What is told of a name's versions. */
interface Told {
  root: string
  digest: string | null
  canary: { root: string; share: number; pinned: boolean } | null
  previous: { root: string } | null
}

t.test('versions in traffic, killed at any moment: what was acknowledged is there, and nothing half made', async (t) => {
  const more = temporaryFolder(t)
  const state = path.join(temporaryFolder(t), 'state')
  for (const name of STYLES) cpSync(demoModel(`adapters/${name}`), path.join(more, name), { recursive: true })
  const start = () =>
    serving(t, [
      '--adapter',
      `x=${demoModel('adapters/pirate')}`,
      '--adapter-roots',
      more,
      '--allow-adapter-management',
      '--state-dir',
      state,
    ])
  const told = async (address: string) => {
    const { root, canary, previous } = (await (await fetch(`${address}/adapters/x`)).json()) as Told
    const beside = canary && { root: canary.root, share: canary.share, pinned: canary.pinned }
    return { root, canary: beside, previous: previous && { root: previous.root } }
  }
  const post = async (address: string, route: string, body: object = {}) => {
    const response = await fetch(address + route, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    return response.status
  }
  const random = seeded(5)
  /** What is expected, or may be: with the change that nobody has answered yet. */
  let may: Awaited<ReturnType<typeof told>>[] = [{ root: demoModel('adapters/pirate'), canary: null, previous: null }]
  for (let round = 0; round < 4; round++) {
    const { child, address, ended } = await start()
    const now = await told(address)
    t.ok(
      may.some((one) => JSON.stringify(one) === JSON.stringify(now)),
      `round ${round}: ${JSON.stringify(now)}`,
    )
    may = [now]
    const killed = setTimeout(() => child.kill('SIGKILL'), 300 + random.below(700))
    try {
      for (;;) {
        const [{ root, canary, previous }] = may
        const src = path.join(more, random.pick(STYLES.filter((name) => path.join(more, name) !== root)))
        const share = random.pick([0.05, 0.5])
        const pinned = random.below(2) === 0
        const back = previous && { root: previous.root, canary: null, previous: { root } }
        const [route, body, next] = random.pick([
          ['/adapters', { name: 'x', src, canary: share, pin: pinned }, { root, canary: { root: src, share, pinned }, previous }],
          ...(canary
            ? ([
                ['/adapters', { name: 'x', canary: share }, { root, canary: { ...canary, share }, previous }],
                ['/adapters/x/promote', {}, { root: canary.root, canary: null, previous: { root } }],
                ['/adapters/x/rollback', {}, { root, canary: null, previous }],
              ] as const)
            : []),
          ...(!canary && back ? ([['/adapters/x/rollback', {}, back]] as const) : []),
        ])
        may.push(next)
        t.equal(await post(address, route, body), 200, route)
        may = [next]
      }
    } catch {
      // It was killed.
    }
    clearTimeout(killed)
    await ended
  }
  const { child, address, ended } = await start()
  t.equal(await post(address, '/adapters', { name: 'x', src: path.join(more, 'robot'), replace: true }), 200)
  t.equal(await post(address, '/adapters', { name: 'x', src: path.join(more, 'json'), canary: 0.4 }), 200)
  const users = Array.from({ length: 40 }, (_, i) => `user ${i}`)
  const digests = async (of: string) => {
    const answers = users.map(async (user) => {
      const response = await fetch(`${of}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: 'x', prompt: 'Once', max_tokens: 1, user }),
      })
      return response.headers.get('x-lora-digest')
    })
    return Promise.all(answers)
  }
  const before = await digests(address)
  t.equal(new Set(before).size, 2)
  child.kill('SIGKILL')
  await ended
  t.same(await digests((await start()).address), before, 'each client gets the version that it had')
})
