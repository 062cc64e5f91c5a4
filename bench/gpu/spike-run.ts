/**
 * One engine of the spike in a process of its own: ONNX Runtime is opened once a process, and a crash in a driver or a kernel ends only this. Prints the part it is in,
 * so that its parent can say where it ended; writes {steps, device, tokens, logits} of every sequence to `--out`.
 * `node dist/bench/gpu/spike-run.js --device cuda --dtype float16 --capture yes --model DIR --adapters DIR --out FILE`
 */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { loadAdapter } from '../../adapters-store/index.ts'
import type { EngineSettings } from '../../runtime/index.ts'
import { readBaseModel } from '../../runtime/model/index.ts'
import { readArgs } from './args.ts'
import { generateAll, promptOf, startBenchEngine } from './engine.ts'
import { adaptersNamed } from './variants.ts'

const { device, values } = readArgs({ model: '', adapters: '', dtype: 'float32', capture: 'yes', out: '' })
const NEW_TOKENS = 24
const PROMPTS = [5, 40, 130, 257]

/** What a run leaves behind: per sequence its tokens, and the logits of each as base64 of float32. */
export interface SpikeRun {
  steps: number
  device: string
  sequences: { tokens: number[]; logits: string[] }[]
}

const part = (name: string) => console.log(`part: ${name}`)

part('the engine starts: libraries, provider, custom ops, session')
const engine = await startBenchEngine({
  modelDir: values.model,
  device,
  dtype: values.dtype as EngineSettings['dtype'],
  maxModelLen: 512,
  maxBatchTokens: 256,
  maxSequences: 16,
  poolBytes: 24 << 20,
  captureGraphs: values.capture === 'yes',
})
const { info } = engine
const [name] = adaptersNamed(values.adapters, 'all')
const options = { dtype: info.adapterDtype, blockBytes: info.blockBytes, frameBytes: info.frameBytes }
const image = loadAdapter(name, path.join(values.adapters, name), readBaseModel(values.model), options)
engine.addAdapter(image)
const sized = (length: number, i: number) => ({
  promptIds: promptOf(i, length, info.vocabSize),
  newTokens: NEW_TOKENS,
  returnLogits: true,
})

part('a prefill of the base')
await generateAll(engine, [{ ...sized(PROMPTS[0], 0), newTokens: 1 }])
part('decode steps of the base')
await generateAll(engine, [{ ...sized(PROMPTS[0], 9), newTokens: 4 }])
part('an adapter: upload, prefill and decode')
const adapter = { name: image.name, digest: image.digest }
await generateAll(engine, [{ ...sized(PROMPTS[0], 10), newTokens: 4, adapter }])
part('base and adapter mixed, prompts of several lengths')
const runs = await generateAll(
  engine,
  PROMPTS.flatMap((length, i) => [sized(length, i), { ...sized(length, i), adapter }]),
)
const run: SpikeRun = {
  steps: engine.snapshot.counters.steps,
  device: info.deviceName,
  sequences: runs.map(({ tokens, logits }) => ({
    tokens,
    logits: logits.map((row) => Buffer.from(row.buffer, row.byteOffset, row.byteLength).toString('base64')),
  })),
}
writeFileSync(values.out, JSON.stringify(run))
part('the engine closes')
await engine.close()
part('done')
