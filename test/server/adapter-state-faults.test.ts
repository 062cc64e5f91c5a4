/** What is kept for the next start where something is in its way: other folders say otherwise, the disk is full, the store is damaged. */
import { cpSync, mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { AdapterState } from '../../server/adapter-state.ts'
import { demoModel, temporaryFolder } from '../support/repo.ts'
import { lorikeet, serving } from './cli/running.ts'

const json = { 'content-type': 'application/json' }

t.test(
  'what the command line gives and was unloaded stays away; what a watched folder brings again is there again',
  async (t) => {
    const folder = temporaryFolder(t)
    cpSync(demoModel('adapters/robot'), path.join(folder, 'robot'), { recursive: true })
    const state = path.join(temporaryFolder(t), 'state')
    const given = ['--adapter', `p=${demoModel('adapters/pirate')}`, '--adapters', folder, '--watch']
    const start = () => serving(t, [...given, '--allow-adapter-management', '--state-dir', state])
    const names = async (address: string) => {
      const { adapters } = (await (await fetch(`${address}/adapters`)).json()) as { adapters: { name: string }[] }
      return adapters.map(({ name }) => name)
    }
    const first = await start()
    t.same(await names(first.address), ['p', 'robot'])
    for (const name of ['p', 'robot'])
      t.equal((await fetch(`${first.address}/adapters/${name}`, { method: 'DELETE' })).status, 200)
    first.child.kill('SIGKILL')
    await first.ended
    const second = await start()
    t.same(await names(second.address), [])
    utimesSync(path.join(folder, 'robot/adapter_config.json'), 1, 1)
    for (let i = 0; i < 200 && (await names(second.address)).length === 0; i++) await sleep(50)
    t.same(await names(second.address), ['robot'])
    second.child.kill('SIGTERM')
    await second.ended
    t.same(await names((await start()).address), ['robot'])
  },
)

t.test('a state folder that cannot be written any more: the client is told, and the server goes on', async (t) => {
  const more = temporaryFolder(t)
  cpSync(demoModel('adapters/pirate'), path.join(more, 'pirate'), { recursive: true })
  const state = path.join(temporaryFolder(t), 'state')
  // No file may become larger than so many KiB: writes fail as on a full disk. What tap has every process load hears the signal of that, which Node ignores, and ends by it.
  const before = ['bash', '-c', 'unset NODE_OPTIONS; ulimit -f 100; exec "$0" "$@"']
  const args = ['--adapter-roots', more, '--allow-adapter-management', '--state-dir', state]
  const { address, child, ended, stderr } = await serving(t, args, {}, before)
  const acknowledged: string[] = []
  const load = async (name: string) => {
    const body = JSON.stringify({ name, src: path.join(more, 'pirate'), preload: false })
    const response = await fetch(`${address}/adapters`, { method: 'POST', headers: json, body })
    if (response.status === 200) acknowledged.push(name)
    return { status: response.status, body: await response.json() }
  }
  const long = (name: string | number) => name + 'x'.repeat(200)
  let told = await load('first')
  for (let i = 0; told.status === 200 && i < 1000; i++) told = await load(long(i))
  t.match(told, { status: 500, body: { error: { code: 'state_not_kept', type: 'internal_error' } } })
  // Several at once share what the store does; some may find room in pages that are there.
  for (const { status } of await Promise.all(['a', 'b', 'c', 'd', 'e', 'f'].map((name) => load(long(name)))))
    t.ok(status === 200 || status === 500)
  t.equal((await fetch(`${address}/health`)).status, 200)
  t.match(stderr(), /File too large/)
  child.kill('SIGKILL')
  await ended
  const again = await serving(t, args)
  const { adapters } = (await (await fetch(`${again.address}/adapters`)).json()) as { adapters: { name: string }[] }
  const there = new Set(adapters.map(({ name }) => name))
  t.same(
    acknowledged.filter((name) => !there.has(name)),
    [],
    'what was acknowledged is there',
  )
})

t.test('a store that is cut off, or is none, ends the start with the reason instead of the process with a signal', async (t) => {
  const directory = temporaryFolder(t)
  const file = path.join(directory, 'adapters.lmdb')
  const state = new AdapterState(directory)
  await Promise.all(Array.from({ length: 300 }, (_, i) => state.put(`name ${i}`, { directory: '/a', root: '/a', pinned: false })))
  await state.close()
  t.equal(new AdapterState(directory).all().size, 300)
  const other = temporaryFolder(t)
  const whole = readFileSync(file)
  for (const [what, damage] of [
    ['cut off', (to: string) => writeFileSync(to, whole.subarray(0, 12_288))],
    ['no store', (to: string) => writeFileSync(to, 'no store at all'.repeat(1000))],
  ] as const) {
    const folder = path.join(other, what)
    mkdirSync(folder)
    damage(path.join(folder, 'adapters.lmdb'))
    const { code, signal, stderr } = await lorikeet(['serve', '--port', '0', '--state-dir', folder]).ended
    t.match({ code, signal, stderr }, { code: 1, signal: null, stderr: /adapters\.lmdb cannot be read .*damaged/ }, what)
    t.throws(() => new AdapterState(folder), { message: /damaged/ })
  }
})
