/**
 * 16 clients on 16 rank-16 adapters of the 135M-parameter shape over HTTP, against HF PEFT's mixed batch and llama.cpp (issue 2, "What it must show", 3d). All with
 * 2 threads and float32 weights, in turns in one run. Lorikeet is `lorikeet serve` in a process of its own, with streaming clients over sockets; the peers generate
 * in their own processes without HTTP. Adapter rows are float16 in Lorikeet's pool and in llama.cpp, float32 in PEFT.
 * `node dist/bench/serve.js [--rounds 3] [--prompt 64] [--new 64]`. The peers need python3 with torch, transformers and peft, and node-llama-cpp, which is installed
 * into bench/peers/llama-cpp; a peer that is missing is said to be missing.
 */
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { repoRoot } from '../test/support/repo.ts'
import { type Ask, streamAll, type Timed } from './clients.ts'
import { type BenchModel, model135m } from './model135m.ts'
import { ggufOf } from './peers/llama-cpp/gguf.ts'
import { Peer, type PeerJob } from './peers/peer.ts'
import { against, heading, median, quantile, sleep, table } from './report.ts'
import { startServer } from './server-process.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    prompt: { type: 'string', default: '64' },
    new: { type: 'string', default: '64' },
  },
})
const CLIENTS = 16
const THREADS = 2
const newTokens = Number(values.new)
const root = repoRoot()

async function startPeft(model: BenchModel): Promise<Peer> {
  const script = path.join(root, 'bench/peers/peft_mixed.py')
  return await Peer.start([
    'python3',
    script,
    ...['--model', model.directory, '--adapters', model.adapters, '--names', model.names.join(), '--threads', String(THREADS)],
  ])
}

async function startLlamaCpp(model: BenchModel): Promise<Peer> {
  const folder = path.join(root, 'bench/peers/llama-cpp')
  if (!existsSync(path.join(folder, 'node_modules/node-llama-cpp'))) {
    const npm = spawnSync('npm', ['install', '--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund'], {
      cwd: folder,
      encoding: 'utf8',
    })
    if (npm.status !== 0) throw new Error(`npm install failed: ${npm.stderr.slice(-500)}`)
  }
  const { base, loras } = ggufOf(model)
  return await Peer.start([process.execPath, 'peer.mjs', '--model', base, '--loras', loras, '--threads', String(THREADS)], folder)
}

async function orMissing(name: string, start: Promise<Peer>): Promise<Peer | undefined> {
  try {
    return await start
  } catch (error) {
    console.log(`${name}: missing on this machine (${(error as Error).message.split('\n')[0]})`)
    return undefined
  }
}

console.log(
  heading(
    `${CLIENTS} clients on ${CLIENTS} adapters, prompts of ${values.prompt} tokens, ${newTokens} new tokens each, 135M parameters in float32, ${THREADS} threads`,
  ),
)
const model = model135m(CLIENTS)
const lorikeet = await startServer([
  model.directory,
  ...['--adapters', model.adapters, '--pool', '1GiB', '--served-model-name', 'base'],
])
const peft = await orMissing('PEFT', startPeft(model))
const llama = await orMissing('llama.cpp', startLlamaCpp(model))

/** New prompts every round, so that no prefix cache answers for anybody. */
function jobOf(round: number): PeerJob {
  const token = (client: number, i: number) => 10 + ((round * 7919 + client * 997 + i * i * 131 + i * 17) % 1500)
  const prompts = model.names.map((_, client) => Array.from({ length: Number(values.prompt) }, (_, i) => token(client, i)))
  return { prompts, adapters: model.names, new: newTokens }
}
const asksOf = (job: PeerJob, base: boolean): Ask[] =>
  job.prompts.map((prompt, i) => ({ model: base ? 'base' : job.adapters[i], prompt, maxTokens: job.new }))

const latencies: Timed[] = []
const mixed = `Lorikeet over HTTP, ${CLIENTS} adapters`
const contenders: [string, (job: PeerJob) => Promise<{ seconds: number }>][] = [
  [
    mixed,
    async (job) => {
      const { seconds, answers } = await streamAll(lorikeet.url, asksOf(job, false))
      latencies.push(...answers)
      return { seconds }
    },
  ],
  ['Lorikeet over HTTP, base alone', (job) => streamAll(lorikeet.url, asksOf(job, true))],
]
if (peft) contenders.push([`HF PEFT, adapter_names of ${CLIENTS}`, (job) => peft.run(job)])
if (llama) {
  contenders.push([`llama.cpp, ${CLIENTS} contexts of one adapter`, (job) => llama.run({ ...job, mode: 'lora' })])
  contenders.push(['llama.cpp, base alone, one batch', (job) => llama.run({ ...job, mode: 'base' })])
}

const speeds = new Map<string, number[]>(contenders.map(([name]) => [name, []]))
for (let round = -1; round < Number(values.rounds); round++)
  for (const [name, run] of contenders) {
    await sleep(300) // the one before has stopped spinning
    const { seconds } = await run(jobOf(round + 1))
    // Round -1 warms up: adapters come into the pool, pages into memory.
    if (round >= 0) speeds.get(name)!.push((CLIENTS * newTokens) / seconds)
    else latencies.length = 0
  }
lorikeet.close()
peft?.close()
llama?.close()

const ours = median(speeds.get(mixed)!)
console.log(
  table(
    ['what', 'tokens/s', 'Lorikeet is'],
    contenders.map(([name]) => {
      const speed = median(speeds.get(name)!)
      return [name, speed.toFixed(1), name === mixed ? '1' : `${(ours / speed).toFixed(2)} ×`]
    }),
  ),
)
const first = latencies.map((one) => one.firstToken)
const between = latencies.flatMap((one) => one.between)
const row = (name: string, times: number[]) => [name, quantile(times, 0.5).toFixed(1), quantile(times, 0.99).toFixed(1)]
console.log(
  `\n${mixed}:\n${table(['ms', 'median', 'p99'], [row('time to first token', first), row('between tokens', between)])}\n`,
)
if (peft) {
  const ratio = ours / median(speeds.get(contenders[2][0])!)
  console.log(against(`≥ 5 × PEFT's mixed batch: ${ratio.toFixed(2)} ×`, ratio >= 5))
}
