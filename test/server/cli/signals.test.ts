/** Signals at any time: from the first moment of the start, as the first process of a container too. */
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { cli, lorikeet, serving } from './running.ts'

/** Milliseconds; some 50 where nothing else runs. A large model takes longer than this to read. */
const AT_ONCE = 3000
const LINUX = process.platform === 'linux'

/** Processes whose parent is `pid`. */
function childrenOf(pid: number): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((one) => {
      try {
        return (
          Number(
            readFileSync(`/proc/${one}/stat`, 'utf8')
              .replace(/^.*\) \S /s, '')
              .split(' ')[0],
          ) === pid
        )
      } catch {
        return false // gone meanwhile
      }
    })
}

const lives = (pid: number) => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

t.test(
  'a signal during the start ends it at once, whatever it is doing, and nothing stays behind',
  { skip: !LINUX && 'no /proc' },
  async (t) => {
    const whole = performance.now()
    const { child, ended } = await serving(t, [])
    const start = performance.now() - whole
    child.kill('SIGKILL')
    await ended
    let during = 0
    for (const signal of ['SIGTERM', 'SIGINT'] as const)
      for (const share of [0.05, 0.3, 0.5, 0.7, 0.9]) {
        const { child, ended, stdout } = lorikeet(['serve', '--port', '0'])
        await setTimeout(share * start)
        const children = childrenOf(child.pid as number)
        const from = performance.now()
        child.kill(signal)
        const { code, signal: by } = await ended
        if (code === 0 && stdout() !== '') continue // a quicker start: it served already, and was closed
        t.equal(by, signal, `${Math.round(100 * share)} %: ended by ${by ?? code}`)
        t.ok(performance.now() - from < AT_ONCE, `after ${Math.round(performance.now() - from)} ms`)
        for (let tries = 0; tries < 50 && children.some(lives); tries++) await setTimeout(100)
        t.same(children.filter(lives), [])
        during++
      }
    t.ok(during >= 4, `${during} of 10 came during the start`)
  },
)

const NAMESPACE = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child']
const noNamespaces = () => {
  const { status, error, stderr } = spawnSync(NAMESPACE[0], [...NAMESPACE.slice(1), 'true'], { encoding: 'utf8' })
  return status !== 0 && `no process namespaces here: ${error?.message ?? stderr}`
}

t.test('as the first process of a container', { skip: LINUX ? noNamespaces() : 'no process namespaces' }, async (t) => {
  /** Its first child: of unshare, what is PID 1 inside. */
  const first = async (pid: number) => {
    for (;;) {
      const [one] = childrenOf(pid)
      if (one !== undefined) return one
      await setTimeout(10)
    }
  }
  for (const [signal, code] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
  ] as const) {
    const { child, ended } = lorikeet(['serve', '--port', '0'], {}, NAMESPACE)
    t.teardown(() => child.kill('SIGKILL'))
    const pid = await first(child.pid as number)
    // It hears signals before it starts the server; Node itself takes some 50 ms to begin.
    await first(pid)
    const from = performance.now()
    process.kill(pid, signal)
    t.equal((await ended).code, code)
    t.ok(performance.now() - from < AT_ONCE)
  }
  const { child, ended, address } = await serving(t, [], {}, NAMESPACE)
  const pid = await first(child.pid as number)
  const response = await fetch(`${address}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ prompt: 'Once', max_tokens: 200, ignore_eos: true, stream: true }),
  })
  process.kill(pid, 'SIGTERM')
  t.match(await response.text(), /"finish_reason":"length"[^\n]*\n\ndata: \[DONE\]\n\n$/, 'what is in flight is finished')
  t.equal((await ended).code, 0)
})

t.test(
  'a server that is ended by somebody else ends the first process as well',
  { skip: LINUX ? noNamespaces() : 'no process namespaces' },
  async (t) => {
    const { child, ended } = await serving(t, [], {}, NAMESPACE)
    const [pid] = childrenOf(child.pid as number)
    const [server] = childrenOf(pid)
    process.kill(server, 'SIGKILL')
    t.equal((await ended).code, 137)
  },
)

t.test(
  'what is wrong ends the first process with the same code',
  { skip: LINUX ? noNamespaces() : 'no process namespaces' },
  async (t) => {
    const child = spawn(NAMESPACE[0], [...NAMESPACE.slice(1), process.execPath, cli, 'serve', '/no/such/folder'], {
      stdio: 'ignore',
    })
    t.same(await once(child, 'exit'), [1, null])
  },
)
