/**
 * S-LoRA's synthetic workload (MLSys 2024, section 7.1; bench/slora_trace.py) against the whole server on this machine: Gamma arrivals, adapters by a power law, ranks 8 to 64 in turn on q, k, v and o, lengths uniform and
 * scaled to the machine. As in the paper all adapters are in host memory before anything is measured (`--cold`: each is read from disk when it is first asked for). First the capacity with the fewest adapters is measured (all requests at once); then each number of adapters, and base alone, gets the same share of it in turn, and after that `--saturated`
 * seconds' worth of requests at once.
 *   targets: with the most adapters ≥ 0.97 × the completed requests of the fewest, p99 of the first token ≤ 1.3 ×; at saturation ≥ 0.95 × what bytes and bandwidth of the same run allow (bench/slora/floor.ts)
 * `node dist/bench/slora.js [--model demo|135m] [--adapters 5,100,1000,2000] [--alpha 1,0.1] [--cv 1] [--load 0.8] [--duration 20] [--saturated 6] [--rounds 1] [--cold] [--flags "--scheduling fair"]`; needs python3 with numpy.
 */
import { statSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { bandwidth } from './bandwidth.ts'
import { promptOf } from './gpu/engine.ts'
import { folderOf, manyAdapters } from './many-adapters.ts'
import { drive, summaryOf, type TraceRequest } from './open-loop.ts'
import { against, heading, median, table } from './report.ts'
import { metricOn, startServer } from './server-process.ts'
import { type Counted, floorOf } from './slora/floor.ts'
import { adapterOf, RANKS, shapeOf, traceOf } from './slora/workload.ts'

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'demo' },
    adapters: { type: 'string', default: '5,100,1000,2000' },
    alpha: { type: 'string', default: '1,0.1' },
    cv: { type: 'string', default: '1' },
    load: { type: 'string', default: '0.8' },
    duration: { type: 'string', default: '20' },
    saturated: { type: 'string', default: '6' },
    rounds: { type: 'string', default: '1' },
    cold: { type: 'boolean', default: false },
    flags: { type: 'string', default: '' },
  },
})
const counts = values.adapters.split(',').map(Number)
const alphas = values.alpha.split(',').map(Number)
const [load, duration, saturated, rounds, cv] = [values.load, values.duration, values.saturated, values.rounds, values.cv].map(
  Number,
)
/** Seconds from one adapter's first request to the next one's. */
const WARM_S = 0.005
const few = counts[0]
const most = Math.max(...counts)
const shape = shapeOf(values.model)
const { lengths, sloMs } = shape

console.log(heading(`S-LoRA's workload, the ${shape.name} model`))
const sources = RANKS.map((rank) => adapterOf(shape, rank))
const weights = sources.map((source) => path.join(source, 'adapter_model.safetensors'))
const sizes = weights.map((file) => statSync(file).size)
const bytesOf = (adapter: number) => sizes[adapter % sizes.length]
const folder = manyAdapters(`slora-${shape.name}`, sources, most)
const machine = await bandwidth(weights[weights.length - 1])
const server = await startServer([
  ...[shape.base, '--served-model-name', 'base', '--adapters', folder, '--pool', shape.pool, '--host-memory', shape.hostMemory],
  ...['--max-concurrent-requests', '100000', '--max-sequences-in-flight', '100000'],
  ...values.flags.split(' ').filter(Boolean),
])

const METRICS = {
  loads: 'lorikeet_adapter_loads_total',
  reads: 'lorikeet_adapter_reads_total',
  steps: 'lorikeet_steps_total',
  generated: 'vllm:generation_tokens_total',
}
const metrics = async () => {
  const page = await (await fetch(`${server.url}/metrics`)).text()
  const entries = Object.entries(METRICS).map(([name, metric]) => [name, metricOn(page, metric)])
  return Object.fromEntries(entries) as Record<keyof typeof METRICS, number>
}

type Outcome = ReturnType<typeof summaryOf> & Counted & { late: number }
let prompts = 0
/** Each prompt is another: nothing of it is cached. */
async function run(requests: TraceRequest[], modelOf: (adapter: number) => string): Promise<Outcome> {
  const first = ++prompts * 1_000_000
  const before = await metrics()
  const driven = await drive(server.url, requests, modelOf, (i, length) => promptOf(first + i, length, shape.vocabulary))
  const after = await metrics()
  const counted = {
    steps: after.steps - before.steps,
    generated: after.generated - before.generated,
    loads: after.loads - before.loads,
    reads: after.reads - before.reads,
  }
  return { ...summaryOf(requests, driven, sloMs), ...counted, seconds: driven.seconds, late: driven.late }
}

const once = (requests: TraceRequest[]) => requests.map((request) => ({ ...request, at: 0 }))
/** So many requests at once. */
const burst = (adapters: number, alpha: number, count: number) =>
  once(traceOf({ adapters, alpha, cv: 1, rate: count, duration: 1, lengths }))

const kinds = [
  { name: 'base alone', adapters: few, modelOf: () => 'base' },
  ...counts.map((adapters) => ({ name: `${adapters}`, adapters, modelOf: folderOf })),
]
const [fewest, last] = [1, kinds.length - 1]

/** All kinds in turn, `rounds` times. */
async function inTurn(traceFor: (adapters: number) => TraceRequest[]): Promise<Outcome[][]> {
  const outcomes = kinds.map(() => [] as Outcome[])
  for (let round = 0; round < rounds; round++)
    for (const [k, { adapters, modelOf }] of kinds.entries()) outcomes[k].push(await run(traceFor(adapters), modelOf))
  return outcomes
}

const HEAD = ['requests/s', 'tokens/s', 'first token, ms', 'p99', `within ${sloMs} ms`, 'read from disk', 'brought into the pool']
function cells(outcomes: Outcome[]): string[] {
  const middle = (of: (one: Outcome) => number, digits = 0) => median(outcomes.map(of)).toFixed(digits)
  return [
    middle((one) => one.requestsPerS, 2),
    middle((one) => one.tokensPerS),
    middle((one) => one.firstTokenMs.mean),
    middle((one) => one.firstTokenMs.p99),
    `${middle((one) => 100 * one.slo, 1)} %`,
    middle((one) => one.reads),
    middle((one) => one.loads),
  ]
}

const ratio = (outcomes: Outcome[][], of: (one: Outcome) => number) =>
  median(outcomes[last].map((one, i) => of(one) / of(outcomes[fewest][i])))

async function loaded(alpha: number, rate: number): Promise<void> {
  const outcomes = await inTurn((adapters) => traceOf({ adapters, alpha, cv, rate, duration, lengths }))
  console.log(`\npower ${alpha}, ${rate.toFixed(1)} requests/s for ${duration} s, cv ${cv}`)
  const rows = kinds.map(({ name }, k) => [
    name,
    ...cells(outcomes[k]),
    Math.max(...outcomes[k].map(({ late }) => late)).toFixed(0),
  ])
  console.log(table(['adapters', ...HEAD, 'sent late, ms'], rows))
  const kept = ratio(outcomes, ({ requestsPerS }) => requestsPerS)
  const slower = ratio(outcomes, ({ firstTokenMs }) => firstTokenMs.p99)
  console.log(
    against(`${most} adapters complete ≥ 0.97 × of ${few}: ${kept.toFixed(3)} (S-LoRA, A100: 0.945 and 0.90)`, kept >= 0.97),
  )
  console.log(against(`p99 of the first token ≤ 1.3 ×: ${slower.toFixed(2)}`, slower <= 1.3))
}

async function saturation(alpha: number, count: number): Promise<void> {
  const traces = new Map(counts.map((adapters) => [adapters, burst(adapters, alpha, count)]))
  const trace = (adapters: number) => traces.get(adapters) as TraceRequest[]
  const outcomes = await inTurn(trace)
  const floors = kinds.map(({ adapters }, k) =>
    outcomes[k].map((counted, i) =>
      floorOf({ requests: trace(adapters), counted }, { requests: trace(few), counted: outcomes[fewest][i] }, bytesOf, machine),
    ),
  )
  console.log(
    `\npower ${alpha}, ${count} requests at once; the floor: what the run with ${few} took, and the bytes beyond it, in seconds`,
  )
  const middle = (k: number, of: (floor: (typeof floors)[number][number]) => number) => median(floors[k].map(of)).toFixed(2)
  const rows = kinds.map(({ name }, k) => [
    name,
    ...cells(outcomes[k]),
    median(outcomes[k].map(({ seconds }) => seconds)).toFixed(2),
    ...(k === 0
      ? ['', '', '', '']
      : [middle(k, (one) => one.loadS), middle(k, (one) => one.copyS), middle(k, (one) => one.readS)]),
    ...(k === 0 ? [] : [middle(k, (one) => one.seconds)]),
  ])
  console.log(table(['adapters', ...HEAD, 'took, s', 'files', 'copies', 'kernels', 'floor, s'], rows))
  const kept = ratio(outcomes, ({ requestsPerS }) => requestsPerS)
  const ofFloor = median(floors[last].map(({ seconds }, i) => seconds / outcomes[last][i].seconds))
  console.log(`     ${most} adapters complete ${kept.toFixed(3)} × of ${few}`)
  console.log(against(`≥ 0.95 × of what the floor allows: ${ofFloor.toFixed(3)}`, ofFloor >= 0.95))
}

try {
  const gigabytes = ({ read, copy, load }: typeof machine) => [read, copy, load].map((one) => (one / 1e9).toFixed(1)).join(', ')
  console.log(
    `all cores read, copy and take from files ${gigabytes(machine)} GB/s; adapters of ${sizes.map((size) => (size / 1e6).toFixed(1)).join(', ')} MB`,
  )
  if (!values.cold) {
    // Not all at once, so that a 135M model's queue stays short.
    const each = Array.from({ length: most }, (_, adapter) => ({ adapter, prompt: lengths[0], output: 1, at: adapter * WARM_S }))
    await run(each, folderOf)
  }
  await run(burst(few, 1, 20), folderOf)
  const capacities: number[] = []
  for (let i = 0; i < 3; i++) capacities.push((await run(burst(few, 1, shape.atOnce), folderOf)).requestsPerS)
  const capacity = median(capacities)
  console.log(`capacity with ${few} adapters: ${capacity.toFixed(1)} requests/s`)
  for (const alpha of alphas) {
    await loaded(alpha, load * capacity)
    await saturation(alpha, Math.round(saturated * capacity))
  }
} finally {
  await server.close()
}
