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
/** Of a measurement, and of the slices in which all threads' bytes are added up: a thread that is alone for a moment has the memory to itself. */
const MS = 400
const SLICE_MS = 40
/** Until all threads run. */
const START_MS = 400

interface Task {
  /** An adapter's weights; absent: reading alone is measured. */
  file?: string
  /** Milliseconds since epoch. */
  begin: number
}

const now = () => performance.timeOrigin + performance.now()

/** Bytes done in each slice of MS from `begin` on. `work` says how many it has done. */
function slices(begin: number, work: () => number): number[] {
  const done = new Array<number>(MS / SLICE_MS).fill(0)
  while (now() < begin);
  for (let started = now(); started < begin + MS; ) {
    const bytes = work()
    const ended = now()
    // What goes over a slice's end is shared out by time.
    for (let slice = Math.floor((started - begin) / SLICE_MS); slice * SLICE_MS + begin < ended && slice < done.length; slice++) {
      const within = Math.min(ended, begin + (slice + 1) * SLICE_MS) - Math.max(started, begin + slice * SLICE_MS)
      done[slice] += (bytes * within) / (ended - started)
    }
    started = ended
  }
  return done
}

function measure({ file, begin }: Task): number[][] {
  const [from, to] = [Buffer.alloc(BYTES, 1), Buffer.alloc(BYTES, 1)]
  const works: (() => number)[] = [() => (from.equals(to) ? 2 * BYTES : 0)]
  if (file !== undefined)
    works.push(
      () => from.copy(to),
      () => {
        const bytes = readFileSync(file)
        createHash('sha256').update(bytes).digest()
        return bytes.copy(to)
      },
    )
  return works.map((work, i) => slices(begin + i * (MS + 50), work))
}

/** By one thread a core at once: the most that all did together in a slice. `file`: an adapter's weights. */
export async function bandwidth(file: string): Promise<Bandwidth> {
  const [read, copy, load] = await together({ file })
  return { read, copy, load }
}

/** Bytes a second that all cores read from memory together. */
export async function readBandwidth(): Promise<number> {
  return (await together({}))[0]
}

async function together(task: Omit<Task, 'begin'>): Promise<number[]> {
  const begin = now() + START_MS
  const all = await Promise.all(
    Array.from(
      { length: availableParallelism() },
      () =>
        new Promise<number[][]>((resolve, reject) => {
          const worker = new Worker(new URL(import.meta.url), { workerData: { ...task, begin } satisfies Task })
          worker.once('message', resolve)
          worker.once('error', reject)
        }),
    ),
  )
  const sums = all[0].map((kind, k) => kind.map((_, slice) => all.reduce((sum, thread) => sum + thread[k][slice], 0)))
  return sums.map((kind) => (1e3 * Math.max(...kind)) / SLICE_MS)
}

if (!isMainThread && parentPort) parentPort.postMessage(measure(workerData))
