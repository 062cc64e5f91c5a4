/** Weights of the router's own scorers against each other, over workloads that want different things. */
import { table } from '../report.ts'
import type { Policy } from './router.ts'
import type { Bench } from './tables.ts'

/** What looks at load, what keeps an adapter where it is, and what spreads the cold ones. */
function candidates(): Policy['weights'][] {
  const loads: Policy['weights'][] = [
    { 'queue-scorer': 2, 'kv-cache-utilization-scorer': 2 },
    { 'queue-scorer': 2, 'active-request-scorer': 2 },
  ]
  return loads.flatMap((load) =>
    [0, 3, 6, 12].flatMap((affinity) =>
      [3, 6].flatMap((prefix) =>
        [0, 1].map((cold) => ({
          ...load,
          'lora-affinity-scorer': affinity,
          'prefix-cache-scorer': prefix,
          'no-hit-lru-scorer': cold,
        })),
      ),
    ),
  )
}

const nameOf = (weights: Policy['weights']) =>
  Object.entries(weights)
    .filter(([, weight]) => weight > 0)
    .map(([name, weight]) => `${name.replace('-scorer', '')} ${weight}`)
    .join(', ')

/**
 * The candidates by the 99th percentile of first tokens: each in parts of the best candidate's of the same workload and load, on average (geometric) and at worst; the best on average first.
 * Progress goes to stderr: this takes minutes.
 */
export function search(benches: ReadonlyMap<string, Bench>, replicas: number, loads: number[]): string {
  const all = candidates()
  const cases = [...benches].flatMap(([name, bench]) => loads.map((load) => ({ name: `${name} ${load}`, bench, load })))
  const times = cases.map(({ name, bench, load }) => {
    process.stderr.write(`${name}\n`)
    return all.map((weights) => bench.outcome(replicas, load, { name: '', weights }).first99)
  })
  const ratios = times.map((row) => row.map((time) => time / Math.min(...row)))
  const rows = all.map((weights, i) => {
    const its = ratios.map((row) => row[i])
    const mean = Math.exp(its.reduce((sum, ratio) => sum + Math.log(ratio), 0) / its.length)
    return { name: nameOf(weights), mean, worst: Math.max(...its), its }
  })
  rows.sort((a, b) => a.mean - b.mean)
  return table(
    ['weights', 'mean', 'worst', ...cases.map(({ name }) => name)],
    rows.map(({ name, mean, worst, its }) => [name, mean.toFixed(2), worst.toFixed(2), ...its.map((ratio) => ratio.toFixed(2))]),
  )
}
