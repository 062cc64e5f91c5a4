/**
 * What leaves the pool when blocks are short: ours against LRU, LFU, GDSF and the rule before, on synthetic traffic and recorded traces. Every policy chooses in the same pool, the
 * engine's own over a table that stores nothing; nothing is computed or copied, milliseconds are those that it would take.
 * `node dist/bench/eviction.js [--requests 3000] [--seed 0] [--recorded FILE,FILE]`
 */
import path from 'node:path'
import { parseArgs } from 'node:util'
import { microseconds } from './eviction/cost.ts'
import { imagesOf, type Outcome, SHAPES, Simulation } from './eviction/simulation.ts'
import { recorded, synthetic } from './eviction/traces.ts'
import { against, heading, table } from './report.ts'

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '3000' },
    seed: { type: 'string', default: '0' },
    recorded: { type: 'string', default: '' },
  },
})
/** Of LRU's time, at most (issue 12, "Eviction by cost"). */
const BOUND = 1.02
const POLICIES = ['LRU', 'LFU', 'GDSF', 'before', 'ours']
const msOf = ({ restoredMs, recomputedMs }: Outcome) => restoredMs + recomputedMs
const count = Number(values.requests)
const traces = synthetic(count, 100 * Number(values.seed))
for (const file of values.recorded.split(',').filter(Boolean))
  traces.push(await recorded(file, `recorded: ${path.basename(file, '.jsonl')}`, count))

console.log(heading("Eviction: time to copy and compute again, in parts of LRU's, and of the bytes wanted those that were found"))
let worst = 0
let logs = 0
let compared = 0
for (const shape of SHAPES) {
  const rows: string[][] = []
  for (const trace of traces) {
    const images = imagesOf(shape, trace.adapters)
    const outcomes = POLICIES.map((policy) => new Simulation(shape, images, policy).run(trace))
    const lru = msOf(outcomes[0])
    const ours = msOf(outcomes[outcomes.length - 1])
    worst = Math.max(worst, ours / lru)
    logs += Math.log(ours / lru)
    compared++
    const cell = (one: Outcome) => `${(msOf(one) / lru).toFixed(3)} (${((100 * one.hitBytes) / one.wantedBytes).toFixed(0)} %)`
    rows.push([trace.name, (lru / 1000).toFixed(1), ...outcomes.map(cell)])
  }
  console.log(`${shape.name}: ${shape.blocks} blocks`)
  console.log(`${table(['traffic', 'LRU, s', ...POLICIES], rows)}\n`)
}
console.log(
  'Microseconds an eviction, and a block that comes in its place, with 2,000 idle adapters and 50,000 idle blocks in chains of 25; the middle and the 99th percentile of batches of 100:',
)
console.log(`${table(['adapters', 'eviction', 'p99', 'registered and released'], microseconds())}\n`)
console.log(`ours, on average (geometric, of ${compared}): ${Math.exp(logs / compared).toFixed(3)} × LRU's time`)
console.log(against(`ours ≤ ${BOUND} × LRU's time everywhere: at most ${worst.toFixed(3)} ×`, worst <= BOUND))
