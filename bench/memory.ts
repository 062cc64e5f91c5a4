/**
 * What a server keeps in memory (issue 14, "resident memory"): the 135M shape, 16 clients on 16 rank-16 adapters, prompts of 64 and 64 new tokens, in each precision, with
 * the pool as it is by default or as `--pool` says, against 200 MiB + 1.2 × (weights + adapters counted once + blocks in use). Resident is VmRSS of `lorikeet serve`, peak its VmHWM: mapped files included.
 * `node dist/bench/memory.js [--only bfloat16,int8] [--pool 1GiB] [--rounds 2]`; float32 is always there
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { type Ask, streamAll } from './clients.ts'
import { CPU_PRECISIONS, precisionsNamed } from './cpu-precisions.ts'
import { model135m } from './model135m.ts'
import { heading, table } from './report.ts'
import { metricOf, startServer } from './server-process.ts'

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: Object.keys(CPU_PRECISIONS).join(',') },
    pool: { type: 'string' },
    rounds: { type: 'string', default: '2' },
  },
})
const CLIENTS = 16
const TOKENS = 64
const MIB = 1 << 20
/** llama.cpp's peak for the same work, as measured in issue 14; its forms are F32, BF16, Q8_0 and Q4_0. */
const LLAMA_PEAK: Record<string, number> = { float32: 883, bfloat16: 640, int8: 509, int4: 472 }
const model = model135m(CLIENTS)

function statusMiB(pid: number, field: string): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, 'm').exec(status)?.[1]) / 1024
}
const asksOf = (round: number, base: boolean): Ask[] =>
  model.names.map((name, client) => ({
    model: base ? 'base' : name,
    prompt: Array.from({ length: TOKENS }, (_, i) => 10 + ((round * 7919 + client * 997 + i * i * 131) % 1500)),
    maxTokens: TOKENS,
  }))
const bytesIn = (folder: string) =>
  readdirSync(folder).reduce(
    (sum, name) => sum + (/\.(safetensors|weights)$/.test(name) ? statSync(path.join(folder, name)).size : 0),
    0,
  )

async function measure(name: string): Promise<string[]> {
  const { dtype, quantization } = CPU_PRECISIONS[name]
  // What is kept for the next start is what the packed weights take, to a page.
  const kept = mkdtempSync(path.join(tmpdir(), 'lorikeet-memory-'))
  const precision = quantization ? ['--quantization', quantization] : ['--dtype', dtype as string]
  const pool = values.pool ? ['--pool', values.pool] : []
  const folders = ['--adapters', model.adapters, '--weight-cache', kept]
  const server = await startServer([model.directory, ...folders, '--served-model-name', 'base', ...precision, ...pool])
  try {
    await streamAll(server.url, asksOf(0, true).slice(0, 1))
    const first = statusMiB(server.pid, 'VmRSS')
    for (let round = 1; round <= Number(values.rounds); round++) await streamAll(server.url, asksOf(round, false))
    const [resident, peak] = ['VmRSS', 'VmHWM'].map((field) => statusMiB(server.pid, field))
    const block = await metricOf(server.url, 'lorikeet_pool_block_bytes')
    const blocks = async (state: string) => await metricOf(server.url, 'lorikeet_pool_blocks', `state="${state}"`)
    const cache = (block * ((await blocks('sequences')) + (await blocks('cached_prefixes')))) / MIB
    const adapters = (await metricOf(server.url, 'lorikeet_host_memory_bytes', 'state="used"')) / MIB
    const weights = (bytesIn(kept) || bytesIn(model.directory)) / MIB
    const bound = 200 + 1.2 * (weights + adapters + cache)
    const llama = LLAMA_PEAK[name]
    const ratio = llama ? `${(peak / llama).toFixed(2)} × ${llama}` : ''
    const numbers = [weights, adapters, cache, first, resident, peak, bound].map((one) => one.toFixed(0))
    return [name, ...numbers, `${(peak / bound).toFixed(2)} ${peak <= bound ? 'ok' : 'MISS'}`, ratio]
  } finally {
    await server.close()
    rmSync(kept, { recursive: true })
  }
}

console.log(heading(`Memory of a server, ${CLIENTS} clients on ${CLIENTS} adapters, MiB`))
const rows: string[][] = []
for (const [name] of precisionsNamed(values.only)) rows.push(await measure(name))
const head = [
  'MiB',
  'weights',
  'adapters',
  'KV blocks in use',
  'at the first token',
  'after',
  'peak',
  'bound',
  'peak / bound',
  "llama.cpp's peak",
]
console.log(table(head, rows))
