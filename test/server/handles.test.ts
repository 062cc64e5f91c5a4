/** Things that run out or die beside the engine: file handles, and the processes that read texts. What needs them fails with a reason or is done by a new one; the rest goes on. */
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { mostConnections } from '../../server/handles.ts'
import { serving } from './cli/running.ts'

const LINUX = process.platform === 'linux' ? false : 'no /proc'

/** Status and answer; over the agent's connection, if there is one already. */
async function ask(address: string, path: string, body: object, agent?: Agent): Promise<{ status?: number; text: string }> {
  const sent = request(`${address}${path}`, { method: 'POST', agent, headers: { 'content-type': 'application/json' } })
  sent.end(JSON.stringify(body))
  const [response] = await once(sent, 'response')
  let text = ''
  for await (const piece of response) text += piece
  return { status: response.statusCode, text }
}

const SHORT = { prompt: 'Once there was a', max_tokens: 2 }
/** Longer than what the main thread reads itself, and not longer than the context: of each character a token is made at most. */
const LONG = { prompt: ' fox'.repeat(900), max_tokens: 1 }
const OWN_TEMPLATE = { messages: [{ role: 'user', content: 'hi' }], chat_template: '{{ messages[0].content }}', max_tokens: 1 }
const LOOPING = {
  ...OWN_TEMPLATE,
  chat_template: '{% for i in range(30000) %}{% for j in range(30000) %}{% endfor %}{% endfor %}',
}
const [COMPLETIONS, CHAT] = ['/v1/completions', '/v1/chat/completions']

t.test(
  'more connections than there are file handles: those that are open are served, and new ones again afterwards',
  { skip: LINUX },
  async (t) => {
    const { child, address, stderr, ended } = await serving(t, [], {}, ['sh', '-c', 'ulimit -n 110; exec "$@"', 'sh'])
    const { port } = new URL(address)
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    t.teardown(() => agent.destroy())
    t.equal((await ask(address, COMPLETIONS, SHORT, agent)).status, 200)
    const others: Socket[] = []
    for (let i = 0; i < 300; i++) others.push(connect({ port: Number(port), host: '127.0.0.1' }).on('error', () => {}))
    await setTimeout(1000)
    t.ok(others.filter((socket) => socket.closed).length > 200, 'most were closed')
    const used = readdirSync(`/proc/${child.pid}/fd`).length
    t.ok(used > 40 && used < 100, `${used} handles`)
    for (let round = 0; round < 3; round++) {
      t.equal((await ask(address, COMPLETIONS, SHORT, agent)).status, 200)
      t.equal((await ask(address, CHAT, OWN_TEMPLATE, agent)).status, 200, 'with a process that is started for it')
    }
    t.match(stderr(), /connections were closed: \d+ are open, all that the limit of open files/)
    t.equal(stderr().split('connections were closed').length, 2, 'and it is said once')
    for (const socket of others) socket.destroy()
    await setTimeout(300)
    t.equal((await ask(address, COMPLETIONS, SHORT)).status, 200, 'a new connection')
    child.kill('SIGTERM')
    t.equal((await ended).code, 0)
  },
)

t.test('how many connections the limit leaves', async (t) => {
  t.equal(mostConnections(3) === undefined, process.platform !== 'linux')
  t.equal(mostConnections(3, { allowed: 1024, used: 30 }), 1024 - 30 - 32 - 12)
  t.throws(() => mostConnections(3, { allowed: 64, used: 30 }), /may open 64 files \(ulimit -n\).* needs 82 at least/)
})

t.test(
  'a process that reads texts is killed: its job is answered with an error, the next one gets another process',
  { skip: LINUX },
  async (t) => {
    const { child, address, ended } = await serving(t, [])
    const readers = () =>
      readdirSync('/proc').filter((pid) => {
        try {
          const parent = Number(
            readFileSync(`/proc/${pid}/stat`, 'utf8')
              .replace(/^.*\) \S /s, '')
              .split(' ')[0],
          )
          return parent === child.pid && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('tokenizer/process.js')
        } catch {
          return false // not a process, or gone meanwhile
        }
      })
    const long = await ask(address, COMPLETIONS, LONG)
    t.not(long.status, 500)
    t.equal((await ask(address, CHAT, OWN_TEMPLATE)).status, 200)
    const idle = readers()
    t.ok(idle.length >= 2, `${idle.length} processes`)
    for (const pid of idle) process.kill(Number(pid), 'SIGKILL')
    await setTimeout(500) // a job that comes before the server knows of it is answered with an error
    t.same(await ask(address, COMPLETIONS, LONG).then(({ status }) => status), long.status, 'idle ones are replaced')
    t.equal((await ask(address, CHAT, OWN_TEMPLATE)).status, 200)

    const [failing, witness] = [ask(address, CHAT, LOOPING), ask(address, COMPLETIONS, { ...SHORT, max_tokens: 100 })]
    await setTimeout(400)
    for (const pid of readers()) process.kill(Number(pid), 'SIGKILL')
    const { status, text } = await failing
    t.ok(status === 500 || status === 503, `${status} ${text}`)
    t.match(JSON.parse(text), { error: { message: /./, code: /./ } })
    t.equal((await witness).status, 200)
    t.equal((await ask(address, CHAT, OWN_TEMPLATE)).status, 200)
    child.kill('SIGTERM')
    t.equal((await ended).code, 0)
  },
)
