import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import path from 'node:path'
import { pino } from 'pino'
import t from 'tap'
import { LogSink } from '../../server/log.ts'
import { repoRoot } from '../support/repo.ts'

t.test('lines that cannot be written are lost and counted, and told of when one can', async (t) => {
  const written: string[] = []
  let full = false
  const sink = new LogSink((text) => {
    if (full) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
    written.push(text)
  })
  const log = pino({ level: 'info' }, sink)
  log.info('before')
  full = true
  for (let i = 0; i < 3; i++) log.info('lost')
  t.equal(sink.lost, 3)
  full = false
  log.info('after')
  t.same(
    written.map((line) => JSON.parse(line).msg),
    ['before', '3 lines of this log were lost', 'after'],
  )
  t.equal(sink.lost, 3)
})

t.test(
  'a server whose stderr is full serves, and ends when it is told to',
  { skip: process.platform !== 'linux' && 'no /dev/full' },
  async (t) => {
    const full = openSync('/dev/full', 'w')
    const server = spawn(
      process.execPath,
      [path.join(repoRoot(), 'dist/server/cli.js'), 'serve', '--port', '0', '--log-level', 'info'],
      {
        stdio: ['ignore', 'pipe', full],
      },
    )
    closeSync(full)
    t.teardown(() => server.kill('SIGKILL'))
    let out = ''
    const address = await new Promise<string>((resolve, reject) => {
      server.once('exit', (code) => reject(new Error(`it ended with ${code}`)))
      server.stdout?.on('data', (chunk) => {
        out += chunk
        const found = /on (http:\S+)/.exec(out)
        if (found) resolve(found[1])
      })
    })
    for (let i = 0; i < 3; i++) {
      const answer = await fetch(`${address}/v1/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ prompt: 'Once there was a', max_tokens: 2 }),
      })
      t.equal(answer.status, 200)
    }
    t.match(await (await fetch(`${address}/metrics`)).text(), /^lorikeet_log_lines_lost_total\{[^}]*\} [1-9]/m)
    server.removeAllListeners('exit')
    const ended = new Promise((resolve) => server.once('exit', resolve))
    server.kill('SIGTERM')
    t.equal(await ended, 0)
  },
)
