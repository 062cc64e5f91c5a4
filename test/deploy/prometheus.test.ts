/** A real Prometheus, configured as deploy/ says, scrapes a real server: it loads the alerts, and answers every query of the dashboard with numbers. */
import { spawn, spawnSync } from 'node:child_process'
import { cpSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { stringify } from 'yaml'
import { startServed } from '../support/served.ts'
import { alertQueries, dashboardQueries, deploy, deployed } from './queries.ts'

const skip = spawnSync('prometheus', ['--version']).error && 'no prometheus (Debian: apt install prometheus)'

// biome-ignore lint/suspicious/noExplicitAny: Prometheus' HTTP API
const numbers = ({ data }: any) => data?.result.some(({ value }: { value: [number, string] }) => value[1] !== 'NaN')

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((listening) => server.once('listening', listening))
  const { port } = server.address() as { port: number }
  await new Promise((closed) => server.close(closed))
  return port
}

t.test('Prometheus', { skip }, async (t) => {
  const { url, post } = await startServed(t, { 'rate-limit': 8, 'log-level': 'silent' })
  const folder = t.testdir({})
  cpSync(deploy('prometheus', 'rules.yaml'), path.join(folder, 'rules.yaml'))
  const config = deployed('prometheus/prometheus.yaml')
  config.global.scrape_interval = '1s'
  config.global.evaluation_interval = '1s'
  for (const job of config.scrape_configs) job.static_configs = [{ targets: [new URL(url).host] }]
  writeFileSync(path.join(folder, 'prometheus.yaml'), stringify(config))

  const port = await freePort()
  const files = [`--config.file=${folder}/prometheus.yaml`, `--storage.tsdb.path=${folder}/data`]
  const prometheus = spawn('prometheus', [...files, `--web.listen-address=127.0.0.1:${port}`], { stdio: 'ignore' })
  const ended = new Promise((resolve) => prometheus.once('exit', resolve))
  t.teardown(async () => {
    prometheus.kill('SIGKILL')
    await ended
  })
  // biome-ignore lint/suspicious/noExplicitAny: Prometheus' HTTP API
  const ask = async (what: string): Promise<any> => await (await fetch(`http://127.0.0.1:${port}/api/v1/${what}`)).json()
  const query = (expr: string) => ask(`query?query=${encodeURIComponent(expr)}`)
  /** Asks until the answer is `enough`, for half a minute at most. */
  const until = async <T>(asked: () => Promise<T>, enough: (answer: T) => boolean): Promise<T> => {
    for (let tries = 0; ; tries++) {
      const answer = await asked().catch((error) => error as T)
      if (tries === 300 || (!(answer instanceof Error) && enough(answer))) return answer
      await setTimeout(100)
    }
  }

  t.match(
    await until(
      () => query('up'),
      ({ data }) => data?.result[0]?.value[1] === '1',
    ),
    {
      data: { result: [{ metric: { job: 'lorikeet' }, value: [Number, '1'] }] },
    },
  )
  // Counters grow between scrapes, so that every rate has something to say; one request is refused for the rate limit.
  const body = { prompt: 'Once upon a time', max_tokens: 4, ignore_eos: true }
  for (let i = 0; i < 9; i++) {
    t.equal((await post('/v1/completions', { ...body, model: i % 2 ? 'pirate' : 'demo' })).status, i < 8 ? 200 : 429)
    await setTimeout(300)
  }
  for (const { where, expr } of dashboardQueries()) {
    const { status, error, data } = await until(
      () => query(expr),
      ({ data }) => data?.result.length > 0,
    )
    t.equal(status, 'success', `${where}: ${error ?? expr}`)
    t.ok(numbers({ data }), `${where} has something to show: ${expr}`)
  }
  for (const { where, expr } of alertQueries()) t.match(await query(expr), { status: 'success', data: { result: [] } }, where)
  const { data } = await until(
    () => ask('rules'),
    ({ data }) => data?.groups[0]?.rules.every(({ health }: { health: string }) => health === 'ok'),
  )
  t.equal(data.groups[0].rules.length, alertQueries().length)
  for (const { name, health, state, lastError } of data.groups[0].rules)
    t.same({ name, health, state }, { name, health: 'ok', state: 'inactive' }, lastError)
})
