/** How much memory a server would take at most, and how much its pool holds. */
import { statSync } from 'node:fs'
import path from 'node:path'
import { type EnginePlan, type EngineSettings, engineMemory } from '../../runtime/index.ts'
import { hostMemoryOf } from '../config/adapter-options.ts'
import { machineMemory } from '../config/memory.ts'
import type { Config } from '../config/settings.ts'
import type { CheckedAdapter, CheckedMemory, CheckedPool } from './report.ts'

const MIB = 1 << 20
/** A server of the demo model, which weighs 13 MiB, and each of its tokenizers' processes; as measured (docs/commands.md). */
const SERVER = 190 * MIB
const TOKENIZER = 54 * MIB
/** What a tokenizer takes as it is read, in the server and in each process, for a byte of its file: 24 and 20 of a file of 5.6 MiB. */
const TOKENIZER_BYTES = 22

type Sized = Pick<CheckedAdapter, 'poolBytes' | 'hostBytes'>

export function poolOf({ pool, blockSize }: EnginePlan, adapters: readonly Sized[]): CheckedPool {
  const { count: blocks, blockBytes } = pool
  const bytes = blocks * blockBytes
  const sizes = adapters.map(({ poolBytes = 0 }) => poolBytes).sort((a, b) => b - a)
  const together = sizes.reduce((sum, size) => sum + size, 0)
  return {
    bytes,
    blockBytes,
    blocks,
    blockSize,
    kvBytesPerToken: blockBytes / blockSize,
    tokens: blocks * blockSize,
    adapters: howMany(sizes, bytes),
    tokensBesideAll: together > bytes ? null : Math.floor((bytes - together) / blockBytes) * blockSize,
  }
}

/** How many of `sizes`, in their order, fit together. */
function howMany(sizes: readonly number[], room: number): number {
  let left = room
  let count = 0
  for (const size of sizes) {
    left -= size
    if (left < 0) break
    count++
  }
  return count
}

export function hostMemory(config: Config, adapters: readonly Sized[]): { limit: number; adapters: number } {
  const limit = hostMemoryOf(config)
  const sizes = adapters.map(({ hostBytes = 0 }) => hostBytes).sort((a, b) => b - a)
  return { limit, adapters: Math.min(config.maxCpuLoras ?? Number.POSITIVE_INFINITY, howMany(sizes, limit)) }
}

/** Resident memory of the server and its tokenizers' processes, once every block of the pool has been used. */
export function memoryOf(plan: EnginePlan, settings: EngineSettings, config: Config, adapters: readonly Sized[]): CheckedMemory {
  const { weights, graph, workspace } = engineMemory(plan, settings)
  const texts = TOKENIZER_BYTES * statSync(path.join(settings.modelDir, 'tokenizer.json')).size
  const processes = config.tokenizerProcesses
  const pool = plan.pool.count * plan.pool.blockBytes
  const all = adapters.reduce((sum, { hostBytes = 0 }) => sum + hostBytes, 0)
  const parts = {
    process: SERVER + texts + processes * (TOKENIZER + texts),
    weights,
    graph,
    workspace,
    pool,
    hostAdapters: Math.min(all, hostMemoryOf(config)),
  }
  const total = Object.values(parts).reduce((sum, part) => sum + part, 0)
  const limit = machineMemory()
  return { ...parts, total, limit, fits: total <= limit }
}

/** Of the device; the pool's part is 0 where it takes what the others leave. */
export function deviceMemoryOf(plan: EnginePlan, settings: EngineSettings) {
  const { weights, workspace } = engineMemory(plan, settings)
  return { weights, workspace, pool: plan.pool.count * plan.pool.blockBytes }
}
