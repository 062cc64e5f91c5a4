/**
 * The smallest proof of the one risk: a graph with our CUDA custom ops and com.microsoft.PagedAttention through ONNX Runtime's CUDA provider, inputs bound
 * to device memory, decode steps captured in a CUDA graph. On a small random model (`--model`, made by make_model.py --shape tiny), base and one adapter:
 * the CPU engine's tokens and logits in float32 are the reference. Each engine runs in a process of its own (spike-run.ts); one that ends early says in which part.
 * `node dist/bench/gpu/spike.js --model DIR/base --adapters DIR/adapters [--device cpu] [--emulated yes]` (cpu: the engine against itself, to try the program; emulated:
 * the addon of LORIKEET_ADDON is build/emulated/lorikeet.node, whose graph runs on the CPU, in float16 only)
 */
import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { cudaMissing } from '../../native/cuda-host.ts'
import type { Device, TensorType } from '../../native/types.ts'
import { readArgs } from './args.ts'
import type { SpikeRun } from './spike-run.ts'

const { device, results, values } = readArgs({ model: '', adapters: '', timeout: '120', emulated: 'no' })
const emulated = values.emulated === 'yes'
const spike = emulated ? 'spike, emulated' : 'spike'
/**
 * Logits of the random model have a deviation of 2. In transformers 16-bit activations move them by 0.01 (float16) and 0.1 (bfloat16) at most; on the emulated
 * device float16 by 0.08, because ONNX Runtime's products on a CPU with AVX512-FP16 also sum in 16 bits, which no GPU's do.
 */
const TOLERANCE: Record<TensorType, number> = { float32: 1e-3, float16: emulated ? 0.15 : 0.05, bfloat16: 0.3 }
const folder = mkdtempSync(path.join(tmpdir(), 'lorikeet-spike-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

interface Run {
  tokens: number[]
  logits: Float32Array[]
}

/** A run of spike-run.ts. Its row says how many steps it took, or in which part it ended and with which words. */
async function attempt(what: string, on: Device, dtype: TensorType, capture: boolean): Promise<Run[] | undefined> {
  const out = path.join(folder, 'run.json')
  const given = { device: on, dtype, capture: capture ? 'yes' : 'no', model: values.model, adapters: values.adapters, out }
  const args = Object.entries(given).flatMap(([name, value]) => [`--${name}`, value])
  const program = path.join(import.meta.dirname, 'spike-run.js')
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: Number(values.timeout) * 1e3,
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (data) => {
      said += data
      process.stderr.write(data)
    })
  const ended = await new Promise<string>((resolve) => child.on('close', (code, signal) => resolve(signal ?? String(code))))
  const parts = [...said.matchAll(/^part: (.*)$/gm)].map(([, part]) => part)
  if (ended !== '0' || parts.at(-1) !== 'done') {
    const words = /^\w*Error: (.*)$/m.exec(said)?.[1] ?? said.trim().split('\n').at(-1)
    const how = ended === 'SIGTERM' ? `not done after ${values.timeout} s` : ended === '0' ? '' : `${ended}: `
    results.row(`${what}: runs`, 'FAILED', `in "${parts.at(-1)}": ${how}${words}`)
    return undefined
  }
  const run = JSON.parse(readFileSync(out, 'utf8')) as SpikeRun
  results.row(`${what}: runs`, 'ok', `${run.steps} steps on ${run.device}`)
  return run.sequences.map(({ tokens, logits }) => ({
    tokens,
    logits: logits.map((row) => new Float32Array(new Uint8Array(Buffer.from(row, 'base64')).buffer)),
  }))
}

/** Largest difference of two rows; NaN where one holds NaN. */
function difference(a: Float32Array, b: Float32Array): number {
  let largest = 0
  for (let v = 0; v < b.length; v++) {
    const one = Math.abs(a[v] - b[v])
    if (!(one <= largest)) largest = one
    if (Number.isNaN(one)) return one
  }
  return largest
}

/** Logits within the tolerance; tokens equal wherever the reference's two best logits differ by more than twice that. Up to the first token that differs. */
function compare(what: string, run: Run[] | undefined, reference: Run[], tolerance: number): void {
  if (!run) return
  let worst = 0
  let rows = 0
  const wrong: string[] = []
  for (const [s, sequence] of reference.entries())
    for (const [i, expected] of sequence.logits.entries()) {
      const got = run[s].logits[i]
      if (got?.length !== expected.length) {
        wrong.push(`sequence ${s} has no logits of token ${i}`)
        break
      }
      const error = difference(got, expected)
      if (!(error <= worst)) worst = error
      rows++
      if (!(error <= tolerance)) {
        wrong.push(`sequence ${s} token ${i}: logits differ by ${error.toFixed(4)}`)
        break
      }
      if (run[s].tokens[i] === sequence.tokens[i]) continue
      const [best, second] = [...expected].sort((a, b) => b - a)
      if (best - second > 2 * tolerance)
        wrong.push(`sequence ${s} token ${i}: another token, margin ${(best - second).toFixed(3)}`)
      break // another continuation from here on
    }
  results.number(what, { worst, rows, wrong })
  const words = wrong.length > 0 ? `; ${wrong[0]}${wrong.length > 1 ? ` and ${wrong.length - 1} more` : ''}` : ''
  results.row(
    what,
    wrong.length === 0 ? 'ok' : 'FAILED',
    `${rows} rows of logits, largest difference ${worst.toExponential(1)}${words}`,
  )
}

if (device === 'cuda' && !emulated) {
  const missing = cudaMissing()
  for (const one of missing) results.row(`${spike}: what CUDA needs`, 'FAILED', one)
  if (missing.length > 0) process.exit(1)
  results.row(`${spike}: what CUDA needs`, 'ok', 'addon with kernels, provider, libraries, driver, device')
}
const reference = await attempt(`${spike}: reference on the CPU`, 'cpu', 'float32', false)
if (reference)
  for (const dtype of (device === 'cpu' ? ['float32'] : emulated ? ['float16'] : ['float16', 'bfloat16']) as TensorType[]) {
    const tolerance = TOLERANCE[dtype]
    const plain = await attempt(`${spike} ${dtype}, uncaptured`, device, dtype, false)
    if (!plain) continue // what does not run alone is not captured either
    compare(`${spike} ${dtype}, uncaptured: as the CPU`, plain, reference, tolerance)
    const captured = await attempt(`${spike} ${dtype}, captured`, device, dtype, true)
    compare(`${spike} ${dtype}, captured: as the CPU`, captured, reference, tolerance)
    // The same kernels on the same numbers; a captured batch is padded, which may split attention otherwise, so not bit for bit.
    compare(`${spike} ${dtype}, captured: as uncaptured`, captured, plain, tolerance / 4)
  }
process.exit(results.failed ? 1 : 0)
