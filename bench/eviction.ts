/**
 * What leaves the pool when blocks are short: ours against LRU, LFU, GDSF and the rule before, on synthetic traffic and recorded traces. Every policy chooses in the same pool, the
 * engine's own over a table that stores nothing; nothing is computed or copied, milliseconds are those that it would take.
 * `node dist/bench/eviction.js [--requests 6000] [--recorded FILE,FILE]`
 */
import path from 'node:path'
import { parseArgs } from 'node:util'
import { microseconds } from './eviction/cost.ts'
import { imagesOf, type Outcome, SHAPES, Simulation } from './eviction/simulation.ts'
import { recorded, synthetic } from './eviction/traces.ts'
import { against, heading, table } from './report.ts'

const { values } = parseArgs({
  options: {
    requests: { type: 'string', default: '6000' },
    recorded: { type: 'string', default: '' },
  },
})
/** Of LRU's milliseconds, at most (issue 12, "Eviction by cost"). */
const BOUND = 1.02
const POLICIES = ['LRU', 'LFU', 'GDSF', 'before', 'ours']
const msOf = ({ restoredMs, recomputedMs }: Outcome) => restoredMs + recomputedMs
const count = Number(values.requests)
const traces = synthetic(count)
for (const file of values.recorded.split(',').filter(Boolean))
  traces.push(await recorded(file, `recorded: ${path.basename(file, '.jsonl')}`, count))

console.log(heading('Eviction: milliseconds to restore and compute again, and bytes found, in parts of LRU'))
let worst = 0
for (const shape of SHAPES) {
  const rows: string[][] = []
  for (const trace of traces) {
    const images = imagesOf(shape, trace.adapters)
    const outcomes = POLICIES.map((policy) => new Simulation(shape, images, policy).run(trace))
    const [lru] = outcomes
    const parts = outcomes.slice(1).map((one) => `${(msOf(one) / msOf(lru)).toFixed(3)} / ${(one.hitBytes / lru.hitBytes).toFixed(2)}`)
    const ours = outcomes[outcomes.length - 1]
    worst = Math.max(worst, msOf(ours) / msOf(lru))
    rows.push([trace.name, `${Math.round(msOf(lru))}`, `${((100 * lru.hitBytes) / lru.wantedBytes).toFixed(0)} %`, ...parts])
  }
  console.log(`${shape.name}: ${shape.blocks} blocks`)
  console.log(`${table(['traffic', 'LRU ms', 'LRU hits', 'LFU', 'GDSF', 'before', 'ours'], rows)}\n`)
}
console.log('Microseconds an eviction, and a block that comes in its place, with 2,000 idle adapters and 50,000 idle blocks in chains of 25; the middle and the 99th percentile of batches of 100:')
console.log(`${table(['adapters', 'eviction', 'p99', 'registered and released'], microseconds())}\n`)
console.log(against(`ours ≤ ${BOUND} × LRU's milliseconds: at most ${worst.toFixed(3)} ×`, worst <= BOUND))
