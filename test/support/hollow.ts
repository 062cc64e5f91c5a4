/**
 * The real CUDA addon and ONNX Runtime's real CUDA provider on a runtime that computes nothing (test/cuda/hollow). A file that imports this, before anything
 * else, is run anew as a process that finds that runtime, and this one ends with it. Where a part is missing, its tests are skipped.
 */
import { spawnSync } from 'node:child_process'
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Test } from 'tap'
import { loadAdapter } from '../../adapters-store/index.ts'
import type { AdapterImage } from '../../adapters-store/types.ts'
import { cudaLibrary } from '../../native/index.ts'
import type { NativeEngine } from '../../native/types.ts'
import { startEngine } from '../../runtime/index.ts'
import { type BuiltModel, readBaseModel } from '../../runtime/model/index.ts'
import type { Engine, EngineSettings } from '../../runtime/types.ts'
import { startNativeEngine } from './native-step.ts'
import { repoRoot } from './repo.ts'

const folder = path.join(repoRoot(), 'build/hollow')
const addon = path.join(folder, 'lorikeet.node')
/** Bytes that the runtime reads of the file HOLLOW_FAULTS. */
const FAULT_BYTES = 64

const missing = !existsSync(addon)
  ? `${addon} is not built (needs nvcc: node native/build.mjs --target lorikeet-hollow)`
  : cudaLibrary() === undefined
    ? "ONNX Runtime's CUDA provider is not set up (npm run setup:cuda)"
    : undefined

/** For a test's options. */
export const needsHollow = { skip: missing ?? false }

if (!missing && process.env.LORIKEET_ADDON !== addon) {
  const files = mkdtempSync(path.join(tmpdir(), 'lorikeet-hollow-'))
  const [log, faults, errors] = ['log', 'faults', 'errors'].map((name) => path.join(files, name))
  writeFileSync(log, '')
  writeFileSync(faults, '\n'.repeat(FAULT_BYTES))
  const { status, signal } = spawnSync(process.execPath, [...process.execArgv, ...process.argv.slice(1)], {
    stdio: ['inherit', 'inherit', openSync(errors, 'a')],
    env: {
      ...process.env,
      LD_LIBRARY_PATH: folder,
      LORIKEET_ADDON: addon,
      HOLLOW_LOG: log,
      HOLLOW_FAULTS: faults,
      HOLLOW_ERRORS: errors,
    },
  })
  process.stderr.write(readFileSync(errors))
  rmSync(files, { recursive: true })
  if (signal) console.error(`ended by ${signal}`)
  process.exit(status ?? 1)
}

/** A file that another part of the process appends to. */
class Growing {
  readonly #file: string
  #read = 0
  constructor(file: string) {
    this.#file = file
  }
  /** Its lines since the last call. */
  take(): string[] {
    const { size } = statSync(this.#file)
    const bytes = Buffer.alloc(size - this.#read)
    const file = openSync(this.#file, 'r')
    readSync(file, bytes, 0, bytes.length, this.#read)
    closeSync(file)
    this.#read = size
    return bytes.toString().split('\n').slice(0, -1)
  }
}
const log = new Growing(process.env.HOLLOW_LOG ?? '')
const errors = new Growing(process.env.HOLLOW_ERRORS ?? '')

/** What the runtime was asked for since the last call; the lines are described in test/cuda/hollow/hollow.h. */
export const takeLog = (): string[] => log.take()
/** What was written to stderr since the last call, by native code too. */
export const takeErrors = (): string[] => errors.take()

/** The lines that tell of a rule broken: by a capture, by a launch or copy that a device would refuse, by a graph replayed on memory that is gone. */
export const broken = (log: string[]): string[] =>
  log.filter((line) => /FORBIDDEN|SPOILT|REFUSED|ASIDE|STALE|PAGEABLE.* captured/.test(line))

/** What the captures of a log consist of, one list of lines for each. */
export function capturesOf(log: string[]): string[][] {
  const captures: string[][] = []
  let open: string[] | undefined
  for (const line of log) {
    if (line.startsWith('capture begins')) open = []
    else if (line.startsWith('capture ends') && open) {
      captures.push(open)
      open = undefined
    } else open?.push(line)
  }
  return captures
}

/** When the device was busy, in µs, one entry a step: logged while `fault('slow-step …')` holds (test/cuda/hollow/clock.cc). */
export function stepsOf(log: string[]): { begin: number; end: number }[] {
  const found = log.map((line) => /^step (\d+) (\d+)$/.exec(line)).filter((match) => match !== null)
  return found.map(([, begin, end]) => ({ begin: Number(begin), end: Number(end) }))
}

/** How many graphs were instantiated and not destroyed after the last line that says so; undefined where none does. */
export function graphsAfter(log: string[]): number | undefined {
  const last = log.findLast((line) => /^graph (made|gone)/.test(line))
  return last === undefined ? undefined : Number(/\d+/.exec(last))
}

/** Makes calls of the runtime fail from now on (test/cuda/hollow/faults.cc says what can be said); without an argument none does. */
export function fault(what = ''): void {
  const file = openSync(process.env.HOLLOW_FAULTS as string, 'r+')
  writeSync(file, what.padEnd(FAULT_BYTES, '\n'), 0)
  closeSync(file)
}

export interface Hollow {
  engine: Engine
  /** By name; known to the engine. */
  images: Map<string, AdapterImage>
}

/** The engine on a model and the adapters of a folder (none without one), closed with the test. Small unless `settings` says otherwise. */
export async function startHollow(
  t: Test,
  modelDir: string,
  adapters: string | undefined,
  settings: Partial<EngineSettings> = {},
): Promise<Hollow> {
  const types = { device: 'cuda', dtype: 'float16', adapterDtype: 'auto' } as const
  const limits = { poolBytes: 64 << 20, maxBatchTokens: 256, maxSequences: 64, threads: 1 }
  const engine = await startEngine({ modelDir, ...types, ...limits, prefixCache: true, validate: true, ...settings })
  t.teardown(() => engine.close())
  const { adapterDtype: dtype, blockBytes, frameBytes } = engine.info
  const base = readBaseModel(modelDir)
  const names = adapters ? readdirSync(adapters).sort() : []
  const images = new Map(
    names.map((name) => [name, loadAdapter(name, path.join(adapters as string, name), base, { dtype, blockBytes, frameBytes })]),
  )
  for (const image of images.values()) engine.addAdapter(image)
  return { engine, images }
}

/** The native engine alone on a model built for CUDA in float16: steps of up to `rows` tokens, a pool of `blocks` blocks of 16. */
export const startNative = (
  model: BuiltModel,
  { rows, blocks, maxModelLen }: { rows: number; blocks: number; maxModelLen: number },
): Promise<NativeEngine> =>
  startNativeEngine(model, {
    library: cudaLibrary() as string,
    blockSize: 16,
    blockCount: blocks,
    maxBatchTokens: rows,
    maxSequences: rows,
    maxModelLen,
    captureGraphs: true,
  })
