/** The engines that bench/serve.ts compares, each in a process of its own, by precision of the weights. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { repoRoot } from '../../test/support/repo.ts'
import { streamAll, type Timed } from '../clients.ts'
import type { BenchModel } from '../model135m.ts'
import { ggufOf } from '../peers/llama-cpp/gguf.ts'
import { Peer } from '../peers/peer.ts'
import { startServer } from '../server-process.ts'

export const PRECISIONS = ['float32', 'bf16', 'int8', 'int4'] as const
export type Precision = (typeof PRECISIONS)[number]

export interface Job {
  mode: 'base' | 'lora'
  /** One for each client, all of one length. */
  prompts: number[][]
  /** Each prompt's, in mode lora. */
  adapters: string[]
  new: number
}

export interface Contender {
  engine: 'Lorikeet' | 'llama.cpp' | 'PEFT'
  precision: Precision
  name: string
  pid: number
  run(job: Job): Promise<{ seconds: number; answers?: Timed[] }>
  close(): void
}

interface Setup {
  model: BenchModel
  threads: number
  /** Bytes of Lorikeet's pool. */
  pool: number
}

const LORIKEET: Record<Precision, string[]> = {
  float32: ['--dtype', 'float32'],
  bf16: ['--dtype', 'bfloat16'],
  int8: ['--quantization', 'int8'],
  int4: ['--quantization', 'int4'],
}
export const GGUF = { float32: 'F32', bf16: 'BF16', int8: 'Q8_0', int4: 'Q4_0' } as const
const TORCH: Partial<Record<Precision, string>> = { float32: 'float32', bf16: 'bfloat16' }

export async function startLorikeet(precision: Precision, { model, threads, pool }: Setup): Promise<Contender> {
  const flags = ['--device', 'cpu', '--served-model-name', 'base', '--threads', `${threads}`, '--pool', `${pool}B`]
  const server = await startServer([model.directory, '--adapters', model.adapters, ...flags, ...LORIKEET[precision]])
  return {
    engine: 'Lorikeet',
    precision,
    name: `Lorikeet ${precision}, over HTTP`,
    pid: server.pid,
    run: ({ mode, prompts, adapters, new: maxTokens }) =>
      streamAll(
        server.url,
        prompts.map((prompt, i) => ({ model: mode === 'base' ? 'base' : adapters[i], prompt, maxTokens })),
      ),
    close: () => void server.close(),
  }
}

export async function startLlamaCpp(precision: Precision, { model, threads }: Setup): Promise<Contender> {
  const folder = path.join(repoRoot(), 'bench/peers/llama-cpp')
  if (!existsSync(path.join(folder, 'node_modules/node-llama-cpp'))) {
    const npm = spawnSync('npm', ['install', '--omit=optional', '--ignore-scripts', '--no-audit', '--no-fund'], {
      cwd: folder,
      encoding: 'utf8',
    })
    if (npm.status !== 0) throw new Error(`npm install failed: ${npm.stderr.slice(-500)}`)
  }
  const { base, loras } = ggufOf(model, GGUF[precision])
  const flags = ['--model', base, '--loras', loras, '--threads', `${threads}`]
  return contender('llama.cpp', precision, GGUF[precision], await Peer.start([process.execPath, 'peer.mjs', ...flags], folder))
}

/** Undefined in precisions that PEFT does not compute on a CPU. */
export async function startPeft(precision: Precision, { model, threads }: Setup): Promise<Contender | undefined> {
  const dtype = TORCH[precision]
  if (dtype === undefined) return undefined
  const script = path.join(repoRoot(), 'bench/peers/peft_mixed.py')
  const flags = ['--model', model.directory, '--adapters', model.adapters, '--names', model.names.join()]
  return contender(
    'PEFT',
    precision,
    dtype,
    await Peer.start(['python3', script, ...flags, '--threads', `${threads}`, '--dtype', dtype]),
  )
}

function contender(engine: Contender['engine'], precision: Precision, type: string, peer: Peer): Contender {
  return { engine, precision, name: `${engine} ${type}`, pid: peer.pid, run: (job) => peer.run(job), close: () => peer.close() }
}

/** MiB that a process and those it has started have held at the most, each by itself (VmHWM). */
export function peakMiB(pid: number): number {
  try {
    const own = Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean)
    return children.reduce((sum, child) => sum + peakMiB(Number(child)), own)
  } catch {
    return 0 // it has ended meanwhile
  }
}
