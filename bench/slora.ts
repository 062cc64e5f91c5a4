/**
 * S-LoRA's synthetic workload (MLSys 2024, section 7.1; bench/slora_trace.py) against the whole server on this machine: Gamma arrivals, adapters by a power law, ranks 8 to 64 in turn on q, k, v and o,
 * lengths uniform and scaled to the machine. First the capacity with five adapters is measured (all requests at once), then each number of adapters is offered the same share of it, in turn with the others, and base
 * alone beside them.
 *   targets: at 2,000 adapters ≥ 0.97 × the completed requests of five, p99 of the first token ≤ 1.3 ×
 * `node dist/bench/slora.js [--model demo|135m] [--adapters 5,100,1000,2000] [--alpha 1] [--cv 1] [--load 0.8] [--duration 60] [--rounds 1] [--flags "--scheduling fair"]`; needs python3 with numpy.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { demoModel, repoRoot } from '../test/support/repo.ts'
import { promptOf } from './gpu/engine.ts'
import { folderOf, manyAdapters } from './many-adapters.ts'
import { model135m, writeRandom } from './model135m.ts'
import { drive, summaryOf, type TraceRequest } from './open-loop.ts'
import { against, heading, median, table } from './report.ts'
import { metricOf, startServer } from './server-process.ts'

const { values } = parseArgs({
  options: {
    model: { type: 'string', default: 'demo' },
    adapters: { type: 'string', default: '5,100,1000,2000' },
    alpha: { type: 'string', default: '1' },
    cv: { type: 'string', default: '1' },
    load: { type: 'string', default: '0.8' },
    duration: { type: 'string', default: '60' },
    rounds: { type: 'string', default: '1' },
    flags: { type: 'string', default: '' },
  },
})
const counts = values.adapters.split(',').map(Number)
const [load, duration, rounds] = [values.load, values.duration, values.rounds].map(Number)
const RANKS = [8, 16, 32, 64]
/** Lengths of prompts and answers, the pool, and the time of a first token that counts as good: some forty steps, as the paper's 6 s are on its GPUs. */
const MACHINE = {
  demo: { lengths: [8, 128], pool: '256MiB', sloMs: 500 },
  '135m': { lengths: [8, 64], pool: '768MiB', sloMs: 3000 },
}[values.model as 'demo' | '135m']
if (!MACHINE) throw new Error(`--model is demo or 135m, not ${values.model}`)
const base = values.model === 'demo' ? demoModel('base') : model135m(1).directory
const config = JSON.parse(readFileSync(path.join(base, 'config.json'), 'utf8'))

/** A random adapter of a rank on q, k, v and o, made once. */
function adapterOf(rank: number): string {
  const folder = path.join(repoRoot(), 'build/bench/slora', `${values.model}-r${rank}`)
  if (existsSync(path.join(folder, 'adapter_model.safetensors'))) return folder
  mkdirSync(folder, { recursive: true })
  const { hidden_size: hidden, num_attention_heads: heads, num_key_value_heads: kvHeads, num_hidden_layers: layers } = config
  const headDim = config.head_dim ?? hidden / heads
  const shapes: [string, number, number][] = [
    ['q_proj', hidden, heads * headDim],
    ['k_proj', hidden, kvHeads * headDim],
    ['v_proj', hidden, kvHeads * headDim],
    ['o_proj', heads * headDim, hidden],
  ]
  const tensors = Array.from({ length: layers }, (_, layer) =>
    shapes.flatMap(([name, inputs, outputs]) => {
      const module = `base_model.model.model.layers.${layer}.self_attn.${name}`
      return [
        { name: `${module}.lora_A.weight`, shape: [rank, inputs], deviation: inputs ** -0.5 },
        { name: `${module}.lora_B.weight`, shape: [outputs, rank], deviation: 0.02 },
      ]
    }),
  ).flat()
  writeRandom(path.join(folder, 'adapter_model.safetensors'), tensors, 'F16', 7000 + rank)
  const target_modules = shapes.map(([name]) => name)
  const adapter = {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    r: rank,
    lora_alpha: rank,
    lora_dropout: 0,
    bias: 'none',
    target_modules,
  }
  writeFileSync(path.join(folder, 'adapter_config.json'), JSON.stringify(adapter))
  return folder
}

/** Drawn by the paper's own generator. */
function traceOf(adapters: number, rate: number, seconds: number): TraceRequest[] {
  const file = path.join(repoRoot(), 'build/bench/slora/trace.json')
  const options = { adapters, rate, duration: seconds, alpha: values.alpha, cv: values.cv, lengths: MACHINE.lengths.join(',') }
  const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, `${value}`])
  const made = spawnSync('python3', [path.join(repoRoot(), 'bench/slora_trace.py'), file, ...flags], { encoding: 'utf8' })
  if (made.status !== 0) throw new Error(`slora_trace.py: ${made.stderr}`)
  return JSON.parse(readFileSync(file, 'utf8')).requests
}

console.log(heading(`S-LoRA's workload, the ${values.model} model`))
const most = Math.max(...counts)
const folder = manyAdapters(`slora-${values.model}`, RANKS.map(adapterOf), most)
const server = await startServer([
  ...[base, '--served-model-name', 'base', '--adapters', folder, '--pool', MACHINE.pool, '--host-memory', '8GiB'],
  ...['--max-concurrent-requests', '100000', '--max-sequences-in-flight', '100000'],
  ...values.flags.split(' ').filter(Boolean),
])
let prompts = 0
/** Each prompt is another: nothing of it is cached. */
const run = (requests: TraceRequest[], modelOf: (adapter: number) => string) => {
  const first = ++prompts * 1_000_000
  return drive(server.url, requests, modelOf, (i, length) => promptOf(first + i, length, config.vocab_size))
}
try {
  const few = counts[0]
  const atOnce = traceOf(few, 200, 1).map((request) => ({ ...request, at: 0 }))
  await run(atOnce.slice(0, 20), folderOf)
  const capacities: number[] = []
  for (let i = 0; i < 3; i++) capacities.push(summaryOf(atOnce, await run(atOnce, folderOf), MACHINE.sloMs).requestsPerS)
  const capacity = median(capacities)
  const rate = load * capacity
  console.log(
    `capacity with ${few} adapters: ${capacity.toFixed(1)} requests/s; offered: ${rate.toFixed(1)} for ${duration} s, power ${values.alpha}, cv ${values.cv}\n`,
  )

  const kinds = [
    { name: 'base alone', adapters: few, base: true },
    ...counts.map((adapters) => ({ name: `${adapters}`, adapters, base: false })),
  ]
  const results = kinds.map(() => [] as (ReturnType<typeof summaryOf> & { loads: number; late: number })[])
  for (let round = 0; round < rounds; round++)
    for (const [k, { adapters, base }] of kinds.entries()) {
      const requests = traceOf(adapters, rate, duration)
      const loads = await metricOf(server.url, 'lorikeet_adapter_loads_total')
      const driven = await run(requests, base ? () => 'base' : folderOf)
      const loaded = (await metricOf(server.url, 'lorikeet_adapter_loads_total')) - loads
      results[k].push({ ...summaryOf(requests, driven, MACHINE.sloMs), loads: loaded, late: driven.late })
    }
  const middle = (k: number, of: (one: (typeof results)[number][number]) => number) => median(results[k].map(of))
  const rows = kinds.map(({ name }, k) => [
    name,
    middle(k, (one) => one.requestsPerS).toFixed(2),
    middle(k, (one) => one.tokensPerS).toFixed(0),
    middle(k, (one) => one.firstTokenMs.mean).toFixed(0),
    middle(k, (one) => one.firstTokenMs.p99).toFixed(0),
    `${(100 * middle(k, (one) => one.slo)).toFixed(1)} %`,
    middle(k, (one) => one.loads),
    middle(k, (one) => one.late).toFixed(0),
  ])
  const head = [
    'adapters',
    'requests/s',
    'tokens/s',
    'first token, ms',
    'p99',
    `within ${MACHINE.sloMs} ms`,
    'brought into the pool',
    'sent late, ms',
  ]
  console.log(table(head, rows))
  const last = kinds.length - 1
  const kept = median(results[last].map((one, i) => one.requestsPerS / results[1][i].requestsPerS))
  const slower = median(results[last].map((one, i) => one.firstTokenMs.p99 / results[1][i].firstTokenMs.p99))
  console.log(
    `\n${against(`${most} adapters complete ≥ 0.97 × of ${few}: ${kept.toFixed(3)} (S-LoRA, A100: 0.945 and 0.90)`, kept >= 0.97)}`,
  )
  console.log(against(`p99 of the first token ≤ 1.3 ×: ${slower.toFixed(2)}`, slower <= 1.3))
} finally {
  await server.close()
}
