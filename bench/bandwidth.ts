/** What all cores together read, copy and take from files in a second: the floors' bandwidths, measured in the run that they are used in. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'

/** Bytes a second. */
export interface Bandwidth {
  /** Read from memory. */
  read: number
  /** Copied from memory to memory. */
  copy: number
  /** Read from a file that the system has in memory, hashed (SHA-256) and copied: what an adapter's loading cannot do without. */
  load: number
}

/** Of each buffer: beyond any cache of these machines when all cores use theirs. */
const BYTES = 64 << 20
const MS = 400

/** The best of what is done again and again for MS: `work` says how many bytes it has done. */
function best(work: () => number): number {
  let most = 0
  for (const end = performance.now() + MS; performance.now() < end; ) {
    const started = performance.now()
    const bytes = work()
    most = Math.max(most, (1e3 * bytes) / (performance.now() - started))
  }
  return most
}

function measure(file: string | undefined): Bandwidth {
  const [from, to] = [Buffer.alloc(BYTES, 1), Buffer.alloc(BYTES, 1)]
  const read = best(() => (from.equals(to) ? 2 * BYTES : 0))
  if (file === undefined) return { read, copy: 0, load: 0 }
  return {
    read,
    copy: best(() => from.copy(to)),
    load: best(() => {
      const bytes = readFileSync(file)
      createHash('sha256').update(bytes).digest()
      return bytes.copy(to)
    }),
  }
}

/** By one thread a core at once, added up. `file`: an adapter's weights. */
export async function bandwidth(file: string): Promise<Bandwidth> {
  const all = await measured(file)
  const sum = (of: (one: Bandwidth) => number) => all.reduce((total, one) => total + of(one), 0)
  return { read: sum(({ read }) => read), copy: sum(({ copy }) => copy), load: sum(({ load }) => load) }
}

/** Bytes a second that all cores read from memory together. */
export async function readBandwidth(): Promise<number> {
  return (await measured()).reduce((total, { read }) => total + read, 0)
}

async function measured(file?: string): Promise<Bandwidth[]> {
  return await Promise.all(
    Array.from(
      { length: availableParallelism() },
      () =>
        new Promise<Bandwidth>((resolve, reject) => {
          const worker = new Worker(new URL(import.meta.url), { workerData: file })
          worker.once('message', resolve)
          worker.once('error', reject)
        }),
    ),
  )
}

if (!isMainThread && parentPort) parentPort.postMessage(measure(workerData))
