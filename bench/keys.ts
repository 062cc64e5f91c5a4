/**
 * What keys cost a request: the same requests to the same app with no key asked for, with one key, and with 10,000, in turns. No engine and no network: GET /version with a key passes all that every
 * request passes. The floor is the app without keys.
 * `node dist/bench/keys.js [--rounds 7] [--requests 3000]`
 */
import { parseArgs } from 'node:util'
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import { Access } from '../server/access/access.ts'
import { gate } from '../server/access/gate.ts'
import { configOf } from '../server/config/config.ts'
import { newApp } from '../server/http.ts'
import { heading, median, table } from './report.ts'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '7' }, requests: { type: 'string', default: '3000' } },
})
const requests = Number(values.requests)
const log = pino({ level: 'silent' })

async function appWith(keys: number): Promise<FastifyInstance> {
  const list = Array.from({ length: keys }, (_, i) => `tenant-${i}=lk-${i}`)
  const config = configOf(keys === 0 ? {} : { 'api-key': list })
  const app = newApp(log, config)
  await gate(app, new Access(config, log))
  app.get('/asked', async () => '')
  await app.ready()
  return app
}

/** Microseconds a request. */
async function time(app: FastifyInstance, keys: number): Promise<number> {
  const started = performance.now()
  for (let i = 0; i < requests; i++) {
    const headers = { host: 'localhost', authorization: `Bearer lk-${(i * 7919) % Math.max(1, keys)}` }
    const { statusCode } = await app.inject({ url: '/asked', headers })
    if (statusCode !== 200) throw new Error(`status ${statusCode}`)
  }
  return ((performance.now() - started) / requests) * 1000
}

const counts = [0, 1, 10_000]
const apps = await Promise.all(counts.map(appWith))
const times: number[][] = counts.map(() => [])
for (let round = -1; round < Number(values.rounds); round++)
  for (const [i, app] of apps.entries()) {
    const taken = await time(app, counts[i])
    if (round >= 0) times[i].push(taken)
  }
console.log(heading('What keys cost a request'))
const [floor] = times.map(median)
console.log(
  table(
    ['keys', 'µs a request, median', 'more than without'],
    counts.map((count, i) => [
      count === 0 ? 'none asked for' : `${count}`,
      median(times[i]).toFixed(1),
      (median(times[i]) - floor).toFixed(1),
    ]),
  ),
)
