/** A state folder is one server's at a time. */
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import path from 'node:path'
import t from 'tap'
import { StateLock } from '../../server/state-lock.ts'
import { repoRoot, temporaryFolder } from '../support/repo.ts'
import { lorikeet, serving } from './cli/running.ts'

t.test('what was left behind is taken over; what is another living process is not', async (t) => {
  const folder = temporaryFolder(t)
  const file = path.join(folder, 'server.lock')
  const told = () => JSON.parse(readFileSync(file, 'utf8'))
  const own = new StateLock(folder)
  t.match(told(), { pid: process.pid, host: hostname() })
  own.release()
  t.notOk(existsSync(file))
  const gone = spawnSync(process.execPath, ['-e', '']).pid
  const living = { pid: process.ppid, host: hostname() }
  for (const left of [
    { pid: gone, host: hostname() },
    { ...living, began: '1' },
    { ...living, host: 'another' },
    { pid: 'x' },
    'no JSON',
  ]) {
    writeFileSync(file, typeof left === 'string' ? left : JSON.stringify(left))
    const lock = new StateLock(folder)
    t.equal(told().pid, process.pid, JSON.stringify(left))
    lock.release()
  }
  writeFileSync(file, JSON.stringify(living))
  t.throws(() => new StateLock(folder), new RegExp(`in use by another server, process ${process.ppid}: end that`))
  own.release()
  t.ok(existsSync(file), "another's is left alone")
})

t.test('of several that start at once where one was left behind, one has the folder', async (t) => {
  const lock = path.join(repoRoot(), 'dist/server/state-lock.js')
  const start = Date.now() + 1500
  const script = (folder: string) =>
    `const { StateLock } = await import(${JSON.stringify(lock)}); while (Date.now() < ${start}); try { new StateLock(${JSON.stringify(folder)}); process.stdout.write('has it'); setTimeout(() => {}, 3000) } catch { process.stdout.write('has it not') }`
  const folders = Array.from({ length: 4 }, () => temporaryFolder(t))
  const told = await Promise.all(
    folders.map((folder) => {
      writeFileSync(path.join(folder, 'server.lock'), JSON.stringify({ pid: process.ppid, began: '1', host: hostname() }))
      return Promise.all(
        Array.from({ length: 3 }, async () => {
          const child = spawn(process.execPath, ['--input-type=module', '-e', script(folder)])
          let said = ''
          for await (const text of child.stdout) said += text
          return said
        }),
      )
    }),
  )
  for (const all of told) t.same(all.sort(), ['has it', 'has it not', 'has it not'])
  for (const folder of folders) t.same(readdirSync(folder), ['server.lock'], 'nothing else is left')
})

t.test('the second server of a state folder is told so, and one after the first goes on with it', async (t) => {
  const state = path.join(temporaryFolder(t), 'state')
  const first = await serving(t, ['--state-dir', state])
  const { code, stderr } = await lorikeet(['serve', '--port', '0', '--state-dir', state]).ended
  t.equal(code, 1)
  t.match(
    stderr,
    new RegExp(`is in use by another server, process ${first.child.pid}: end that, or give each its own --state-dir`),
  )
  t.equal((await fetch(`${first.address}/health`)).status, 200, 'the first is not disturbed')
  first.child.kill('SIGKILL')
  await first.ended
  const next = await serving(t, ['--state-dir', state])
  t.equal((await fetch(`${next.address}/health`)).status, 200)
})

t.test('fairness among adapters needs fair scheduling', async (t) => {
  const { code, stderr } = await lorikeet(['serve', '--port', '0', '--fairness', 'adapter']).ended
  t.equal(code, 1)
  t.match(
    stderr,
    /--fairness adapter says whom fair scheduling counts service for, and --scheduling is fcfs: give --scheduling fair too/,
  )
  const { address } = await serving(t, ['--fairness', 'adapter', '--scheduling', 'fair'])
  t.equal((await fetch(`${address}/health`)).status, 200)
})
