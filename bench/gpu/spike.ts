/**
 * The smallest proof of the one risk: a graph with our CUDA custom ops and com.microsoft.PagedAttention through ONNX Runtime's CUDA provider, inputs bound
 * to device memory, decode steps captured in a CUDA graph. On a small random model (`--model`, made by make_model.py --shape tiny), base and one adapter:
 * the CPU engine's tokens and logits in float32 are the reference. Each row is one thing that can go wrong, in the order in which they would.
 * `node dist/bench/gpu/spike.js --model DIR/base --adapters DIR/r16 [--device cpu]` (cpu: the engine against itself, to try the program)
 */
import path from 'node:path'
import { loadAdapter } from '../../adapters-store/index.ts'
import { cudaMissing } from '../../native/cuda-host.ts'
import type { TensorType } from '../../native/types.ts'
import type { Engine } from '../../runtime/index.ts'
import { readBaseModel } from '../../runtime/model/index.ts'
import { readArgs } from './args.ts'
import { generateAll, promptOf, startBenchEngine } from './engine.ts'

const { device, results, values } = readArgs({ model: '', adapters: '', adapter: 'a0000' })
const NEW_TOKENS = 24
/** Logits of the random model have a deviation of 2; 16-bit activations move them by about a hundredth. */
const TOLERANCE: Record<TensorType, number> = { float32: 1e-3, float16: 0.05, bfloat16: 0.3 }

interface Run {
  tokens: number[]
  logits: Float32Array[]
}
const message = (error: unknown) => (error as Error).message.split('\n').slice(0, 3).join(' | ')

/** Prompts of several lengths on the base and on the adapter, prefilled together, then decoded together. */
async function generate(engine: Engine, vocabulary: number): Promise<Run[]> {
  const image = loadAdapter(values.adapter, path.join(values.adapters, values.adapter), readBaseModel(values.model), {
    dtype: engine.info.adapterDtype,
    blockBytes: engine.info.blockBytes,
  })
  engine.addAdapter(image)
  const asks = [5, 40, 130, 257].flatMap((length, i) => {
    const ask = { promptIds: promptOf(i, length, vocabulary), newTokens: NEW_TOKENS, returnLogits: true }
    return [ask, { ...ask, adapter: { name: image.name, digest: image.digest } }]
  })
  return await generateAll(engine, asks)
}

/** Tokens equal wherever the reference's two best logits differ by more than twice the tolerance, logits within it up to there. */
function compare(run: Run[], reference: Run[], tolerance: number): { worst: number; wrong: string[]; compared: number } {
  let worst = 0
  let compared = 0
  const wrong: string[] = []
  for (const [s, sequence] of reference.entries())
    for (const [i, expected] of sequence.logits.entries()) {
      const got = run[s].logits[i]
      if (!got) {
        wrong.push(`sequence ${s} ends after ${i} tokens`)
        break
      }
      let error = 0
      for (let v = 0; v < expected.length; v++) {
        const difference = Math.abs(got[v] - expected[v])
        if (!(difference <= error)) error = difference // NaN stays
      }
      compared++
      if (!(error <= worst)) worst = error
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
  return { worst, wrong, compared }
}

/** Loads, generates and closes; a failure gets its row. */
async function attempt(what: string, dtype: TensorType, captureGraphs: boolean): Promise<Run[] | undefined> {
  let engine: Engine | undefined
  try {
    engine = await startBenchEngine({
      modelDir: values.model,
      device,
      dtype,
      maxModelLen: 512,
      maxBatchTokens: 256,
      poolBytes: 256 << 20,
      captureGraphs,
    })
  } catch (error) {
    results.row(`${what}: engine starts`, 'FAILED', message(error))
    return undefined
  }
  try {
    const run = await generate(engine, engine.info.vocabSize)
    results.row(`${what}: steps run`, 'ok', `${engine.snapshot.counters.steps} steps on ${engine.info.deviceName}`)
    return run
  } catch (error) {
    results.row(`${what}: steps run`, 'FAILED', message(error))
    return undefined
  } finally {
    await engine.close()
  }
}

if (device === 'cuda') {
  const missing = cudaMissing()
  for (const one of missing) results.row('spike: what CUDA needs', 'FAILED', one)
  if (missing.length > 0) process.exit(1)
  results.row('spike: what CUDA needs', 'ok', 'addon with kernels, provider, libraries, driver, device')
}

const cpu = await startBenchEngine({
  modelDir: values.model,
  device: 'cpu',
  dtype: 'float32',
  maxModelLen: 512,
  poolBytes: 64 << 20,
})
const reference = await generate(cpu, cpu.info.vocabSize)
await cpu.close()

for (const dtype of (device === 'cpu' ? ['float32'] : ['float16', 'bfloat16']) as TensorType[]) {
  const tolerance = TOLERANCE[dtype]
  const check = (what: string, run: Run[] | undefined, against: Run[], bound: number) => {
    if (!run) return
    const { worst, wrong, compared } = compare(run, against, bound)
    results.number(what, { worst, wrong, compared })
    const detail = `${compared} rows of logits, largest difference ${worst.toExponential(1)}${wrong.length > 0 ? `; ${wrong[0]} (${wrong.length} such)` : ''}`
    results.row(what, wrong.length === 0 ? 'ok' : 'FAILED', detail)
  }
  const plain = await attempt(`spike ${dtype}, uncaptured`, dtype, false)
  check(`spike ${dtype}, uncaptured: as the CPU computes`, plain, reference, tolerance)
  const captured = await attempt(`spike ${dtype}, captured`, dtype, true)
  check(`spike ${dtype}, captured: as the CPU computes`, captured, reference, tolerance)
  // The replay runs the same kernels on the same numbers; padding of a captured batch may choose another split of attention, so not bit for bit.
  if (plain) check(`spike ${dtype}, captured: as uncaptured`, captured, plain, tolerance / 4)
}
process.exit(results.failed ? 1 : 0)
