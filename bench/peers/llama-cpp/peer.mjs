/**
 * llama.cpp through node-llama-cpp: a peer of bench/serve.ts. Started as `node peer.mjs --model base.gguf --loras DIR --threads 2`; one JSON line in, one out.
 * {"mode": "base" | "lora", "prompts", "adapters", "new"}. In node-llama-cpp a LoRA adapter belongs to a context, and a context is a batch: "lora" runs one context
 * per adapter, "base" all sequences in one context without adapters, which is what llama.cpp does best.
 */
import path from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { getLlama, LlamaLogLevel } from 'node-llama-cpp'

const { values } = parseArgs({ options: { model: { type: 'string' }, loras: { type: 'string' }, threads: { type: 'string' } } })
const threads = Number(values.threads)
const llama = await getLlama({ gpu: false, build: 'never', maxThreads: threads, logLevel: LlamaLogLevel.error })
const model = await llama.loadModel({ modelPath: values.model, gpuLayers: 0 })
/** Of the last kind of job: what it keeps in memory is no other's. */
let contexts = []
let open = { key: '', sequences: [] }

async function sequences(job) {
  const length = job.prompts[0].length + job.new + 8
  const key = `${job.mode} ${length} ${job.prompts.length}`
  if (open.key !== key) {
    await Promise.all(contexts.map((context) => context.dispose()))
    const common = {
      contextSize: length,
      batchSize: 512,
      threads: { ideal: threads, min: threads },
      ignoreMemorySafetyChecks: true,
    }
    contexts =
      job.mode === 'base'
        ? [await model.createContext({ ...common, sequences: job.prompts.length })]
        : await Promise.all(
            job.adapters.map((name) =>
              model.createContext({ ...common, sequences: 1, lora: path.join(values.loras, `${name}.gguf`) }),
            ),
          )
    const sequences =
      job.mode === 'base' ? job.prompts.map(() => contexts[0].getSequence()) : contexts.map((context) => context.getSequence())
    open = { key, sequences }
  }
  return open.sequences
}

async function generate(sequence, prompt, count) {
  let tokens = 0
  for await (const _ of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) if (++tokens === count) break
  return tokens
}

console.log(JSON.stringify({ ready: true }))
for await (const line of createInterface({ input: process.stdin })) {
  const job = JSON.parse(line)
  const used = await sequences(job)
  await Promise.all(used.map((sequence) => sequence.clearHistory()))
  const started = performance.now()
  const counts = await Promise.all(used.map((sequence, i) => generate(sequence, job.prompts[i], job.new)))
  console.log(JSON.stringify({ seconds: (performance.now() - started) / 1000, tokens: counts.reduce((a, b) => a + b, 0) }))
}
process.exit(0)
