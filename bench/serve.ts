/**
 * Clients on the base and on as many rank-16 adapters, in each precision, against llama.cpp and HF PEFT (issues 2 and 14): tokens a second with prefill, all engines open and in turns in one
 * run. Lorikeet is `lorikeet serve` in a process of its own, with streaming clients over sockets; the peers generate in their own processes without HTTP. Adapter rows are float16 in
 * Lorikeet's pool and in llama.cpp, the weights' type in PEFT. A turn in which other processes took more than 5 % of the machine is taken again, three times at most, and the quietest counts.
 * `node dist/bench/serve.js [--precision float32,bf16,int8,int4] [--shape 135m | 1b] [--clients 16,1] [--prompt 64] [--new 64] [--adapters 16] [--rounds 3] [--peers llama.cpp,PEFT] [--threads 2]`
 * Peers need python3 with torch, transformers and peft, and node-llama-cpp, which is installed into bench/peers/llama-cpp; one that is missing is said to be missing.
 */
import { statSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import type { Timed } from './clients.ts'
import { othersShare } from './machine-share.ts'
import { model1b, model135m } from './model135m.ts'
import { against, heading, median, quantile, sleep, table } from './report.ts'
import {
  type Contender,
  GGUF,
  type Job,
  PRECISIONS,
  type Precision,
  peakMiB,
  startLlamaCpp,
  startLorikeet,
  startPeft,
} from './serve/engines.ts'

const { values } = parseArgs({
  options: {
    precision: { type: 'string', default: 'float32' },
    shape: { type: 'string', default: '135m' },
    clients: { type: 'string', default: '16' },
    prompt: { type: 'string', default: '64' },
    new: { type: 'string', default: '64' },
    adapters: { type: 'string', default: '16' },
    rounds: { type: 'string', default: '3' },
    peers: { type: 'string', default: 'llama.cpp,PEFT' },
    threads: { type: 'string', default: '2' },
  },
})
const QUIET = 0.05
const TRIES = 4
const numbers = (list: string) => list.split(',').map(Number)
const precisions = values.precision.split(',') as Precision[]
for (const precision of precisions)
  if (!PRECISIONS.includes(precision)) throw new Error(`no precision ${precision}: ${PRECISIONS}`)
const peers = values.peers.split(',')
const newTokens = Number(values.new)
const cells = numbers(values.clients).flatMap((clients) =>
  numbers(values.prompt).flatMap((prompt) => (['lora', 'base'] as const).map((mode) => ({ clients, prompt, mode }))),
)
type Cell = (typeof cells)[number]

const model = values.shape === '1b' ? model1b(Number(values.adapters)) : model135m(Number(values.adapters))
const { layers, kvHeads, headDim } = model.shape
const adapterBytes = model.names.reduce(
  (sum, name) => sum + statSync(path.join(model.adapters, name, 'adapter_model.safetensors')).size,
  0,
)
/** Of the most tokens that are cached at once, in float32. */
const cacheBytes =
  Math.max(...cells.map(({ clients, prompt }) => clients * (prompt + newTokens + 16))) * layers * 2 * kvHeads * headDim * 4
const setup = { model, threads: Number(values.threads), pool: Math.ceil(1.25 * (adapterBytes + cacheBytes)) }

console.log(
  heading(
    `Clients on a base of ${values.shape.toUpperCase()} parameters and on ${model.names.length} adapters of rank 16, ${newTokens} new tokens each, ${values.threads} threads`,
  ),
)
const contenders: Contender[] = []
async function open(what: string, start: Promise<Contender | undefined>): Promise<void> {
  try {
    const contender = await start
    if (contender) contenders.push(contender)
  } catch (error) {
    console.log(`${what}: missing on this machine (${(error as Error).message.split('\n')[0]})`)
  }
}
for (const precision of precisions) {
  contenders.push(await startLorikeet(precision, setup))
  if (peers.includes('llama.cpp')) await open(`llama.cpp ${GGUF[precision]}`, startLlamaCpp(precision, setup))
  if (peers.includes('PEFT')) await open('PEFT', startPeft(precision, setup))
}

let asked = 0
/** New prompts every time, so that no prefix cache answers for anybody. */
function jobOf({ clients, prompt, mode }: Cell): Job {
  const turn = asked++
  const token = (client: number, i: number) => 10 + ((turn * 7919 + client * 997 + i * i * 131 + i * 17) % 1500)
  const prompts = Array.from({ length: clients }, (_, client) => Array.from({ length: prompt }, (_, i) => token(client, i)))
  return { mode, prompts, adapters: prompts.map((_, client) => model.names[client % model.names.length]), new: newTokens }
}

let loud = 0
/** Tokens a second of the first turn that was quiet, else of the quietest. */
async function speedOf(contender: Contender, cell: Cell, latencies?: Timed[]): Promise<number> {
  let best = { share: Number.POSITIVE_INFINITY, speed: 0, answers: [] as Timed[] }
  for (let attempt = 0; attempt < TRIES && best.share > QUIET; attempt++) {
    await sleep(300) // the one before has stopped spinning
    const share = othersShare(contenders.map(({ pid }) => pid))
    const { seconds, answers = [] } = await contender.run(jobOf(cell))
    const took = share()
    if (took < best.share) best = { share: took, speed: (cell.clients * newTokens) / seconds, answers }
  }
  if (best.share > QUIET) loud++
  latencies?.push(...best.answers)
  return best.speed
}

const key = (contender: Contender, { clients, prompt, mode }: Cell) => `${contender.name} ${clients} ${prompt} ${mode}`
const speeds = new Map<string, number[]>()
const latencies = new Map<string, Timed[]>()
for (const cell of cells)
  for (let round = -1; round < Number(values.rounds); round++)
    for (const contender of contenders) {
      // Round -1 warms up: adapters come into the pool, pages into memory.
      if (round < 0) {
        await contender.run(jobOf(cell))
        continue
      }
      const name = key(contender, cell)
      if (!latencies.has(name)) latencies.set(name, [])
      speeds.set(name, [...(speeds.get(name) ?? []), await speedOf(contender, cell, latencies.get(name))])
    }
const peaks = new Map(contenders.map((contender) => [contender, peakMiB(contender.pid)]))
for (const contender of contenders) contender.close()

const what = ({ clients, prompt, mode }: Cell) => {
  const on = mode === 'base' ? 'base' : clients === 1 ? 'an adapter' : `${Math.min(clients, model.names.length)} adapters`
  return `${clients} on ${on}${cells.some((cell) => cell.prompt !== prompt) ? `, prompts ${prompt}` : ''}`
}
const speed = (contender: Contender | undefined, cell: Cell | undefined) =>
  contender && cell ? median(speeds.get(key(contender, cell))!) : Number.NaN
console.log(
  table(
    ['tokens/s', ...cells.map(what), 'peak MiB'],
    contenders.map((one) => [one.name, ...cells.map((cell) => speed(one, cell).toFixed(1)), peaks.get(one)!.toFixed(0)]),
  ),
)
if (loud > 0)
  console.log(`\n${loud} turns count in which others took more than ${QUIET * 100} % of the machine: it was never quieter`)

const milliseconds = (times: number[]) => [quantile(times, 0.5).toFixed(1), quantile(times, 0.99).toFixed(1)]
const timings = contenders
  .filter(({ engine }) => engine === 'Lorikeet')
  .flatMap((one) =>
    cells.map((cell) => {
      const timed = latencies.get(key(one, cell))!
      const between = timed.flatMap((answer) => answer.between)
      return [`${one.name}, ${what(cell)}`, ...milliseconds(timed.map((answer) => answer.firstToken)), ...milliseconds(between)]
    }),
  )
console.log(`\n${table(['ms', 'first token, median', 'p99', 'between tokens, median', 'p99'], timings)}\n`)

const find = (engine: Contender['engine'], precision: Precision) =>
  contenders.find((one) => one.engine === engine && one.precision === precision)
/** A target's line, where both sides were measured. */
function ratio(text: string, value: number, target: number, most = false): void {
  if (Number.isNaN(value)) return
  console.log(against(`${text} ${most ? '≤' : '≥'} ${target}: ${value.toFixed(2)} ×`, most ? value <= target : value >= target))
}
const single = (precision: Precision) => (precision === 'int8' || precision === 'int4' ? 1.1 : 1)
for (const precision of precisions) {
  const ours = find('Lorikeet', precision)!
  const llama = find('llama.cpp', precision)
  for (const cell of cells) {
    const one = speed(ours, cell)
    const title = `${precision}, ${what(cell)}:`
    const target =
      cell.clients === 1 ? single(precision) : cell.mode === 'lora' && cell.clients === 16 && precision === 'int8' ? 5 : 1
    ratio(`${title} llama.cpp ${GGUF[precision]}`, one / speed(llama, cell), target)
    for (const type of precision === 'float32' || precision === 'bf16' ? [precision] : (['float32', 'bf16'] as const)) {
      // At equal precision the issues ask for 5 × in float32, and for 10 × with int8 weights against either.
      const wanted = cell.mode === 'base' || cell.clients === 1 ? 1 : precision === 'int8' ? 10 : 5
      ratio(`${title} PEFT ${type}`, one / speed(find('PEFT', type), cell), wanted)
    }
    if (cell.mode === 'lora' && llama) {
      const base = cells.find((other) => other.mode === 'base' && other.clients === cell.clients && other.prompt === cell.prompt)
      ratio(`${title} llama.cpp ${GGUF[precision]}'s base alone`, one / speed(llama, base), 1)
    }
  }
  if (llama) ratio(`${precision}: peak of llama.cpp ${GGUF[precision]}'s`, peaks.get(ours)! / peaks.get(llama)!, 1.2, true)
}
