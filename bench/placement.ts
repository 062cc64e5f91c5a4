/**
 * Where requests for 10,000 adapters go on 4, 16 and 64 replicas, and what that costs: the gateway's own scorers, alone, together and as the manifests ship them, against chance and against rendezvous hashing, which
 * the gateway does not have. A simulator (bench/placement/): nothing is served, seconds are virtual, and the same seed gives the same table. docs/placement.md explains it.
 * `node dist/bench/placement.js [--quick] [--replicas 4,16,64] [--loads 0.5,0.8,0.95] [--profile 135m,8b] [--popularity recorded|uniform|slora:ALPHA | --trace lora_request_trace.csv] [--shared 256] [--cold-ms MS] [--seed 1] [--search | --lose]`
 * `--search`: weights of the router's scorers against each other; `--lose`: what follows the loss of a replica.
 */
import { parseArgs } from 'node:util'
import { BEYOND, POLICIES } from './placement/policies.ts'
import { search } from './placement/search.ts'
import { Bench, comparison, losses, settingsOf } from './placement/tables.ts'
import { heading } from './report.ts'

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    adapters: { type: 'string', default: '10000' },
    replicas: { type: 'string', default: '4,16,64' },
    loads: { type: 'string', default: '0.5,0.8,0.95' },
    profile: { type: 'string', default: '135m,8b' },
    popularity: { type: 'string', default: 'recorded' },
    trace: { type: 'string' },
    shared: { type: 'string', default: '256' },
    'cold-ms': { type: 'string' },
    seed: { type: 'string', default: '1' },
    search: { type: 'boolean', default: false },
    lose: { type: 'boolean', default: false },
  },
})
const numbers = (list: string) => list.split(',').map(Number)
const replicas = values.quick ? [4, 16] : numbers(values.replicas)
const loads = values.quick ? [0.8] : numbers(values.loads)
const asked = values.trace ? 'the recorded order' : `popularity ${values.popularity}`
console.log(
  heading(`Placement of ${values.adapters} adapters: ${asked}, prompts of an adapter begin alike for ${values.shared} tokens`),
)

/** What the weights must be good for: both shapes, popularities that differ, adapters whose prompts share nothing, and the recorded order where it is at hand. */
function workloads(): Map<string, Bench> {
  const of = (more: Partial<typeof values>) => new Bench(settingsOf({ ...values, profile: '8b', ...more }, 200, 3000))
  const found = new Map([
    ['8b', of({ trace: undefined })],
    ['8b nothing shared', of({ trace: undefined, shared: '0' })],
    ['8b slora:0.3', of({ trace: undefined, popularity: 'slora:0.3' })],
    ['135m', of({ profile: '135m', trace: undefined })],
  ])
  if (values.trace) found.set('8b in order', of({}))
  return found
}

const policies = [...POLICIES, ...BEYOND]

function compare(shape: string): void {
  const bench = new Bench(settingsOf({ ...values, profile: shape }, values.quick ? 100 : 200, values.quick ? 1000 : 4000))
  const { coldMs } = bench.settings.profile
  console.log(
    `A replica is the ${shape} shape: ${coldMs} ms for a cold adapter, ${bench.capacity.toFixed(2)} requests/s at most, of which the loads are parts.\n`,
  )
  for (const count of replicas) {
    if (values.lose) {
      console.log(`${count} replicas, of which one is lost at load ${loads[0]}`)
      console.log(`${losses(bench, count, loads[0], policies)}\n`)
      continue
    }
    console.log(`${count} replicas; of 1,000 requests ${bench.firsts(count).toFixed(0)} are the first for their adapter`)
    console.log(`${comparison(bench, count, loads, policies)}\n`)
  }
}

if (values.search) for (const count of replicas) console.log(`${count} replicas\n${search(workloads(), count, loads)}\n`)
else for (const shape of values.profile.split(',')) compare(shape)
