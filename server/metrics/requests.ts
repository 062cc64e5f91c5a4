/** Requests by how they ended, and whether more should come. */
import { Counter, Gauge, type Registry } from 'prom-client'
import type { RequestRecord } from '../records/record.ts'

/** Registers them; returns what is to be told of each request that is over. */
export function requestMetrics(
  register: Registry,
  labels: Record<string, string>,
  ready: () => boolean,
): (record: RequestRecord) => void {
  const own = Object.keys(labels)
  new Gauge({
    name: 'lorikeet_ready',
    help: '1 while /ready answers 200, else 0.',
    labelNames: own,
    registers: [register],
    collect() {
      this.set(labels, ready() ? 1 : 0)
    },
  })
  const requests = new Counter({
    name: 'lorikeet_requests_total',
    help: 'Requests that the engine was to compute, by how they ended and by the code of their error.',
    labelNames: [...own, 'outcome', 'code'],
    registers: [register],
  })
  for (const outcome of ['done', 'left']) requests.inc({ ...labels, outcome, code: '' }, 0)
  return ({ outcome, error }) => requests.inc({ ...labels, outcome, code: error?.code ?? '' })
}
