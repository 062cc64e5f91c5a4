/**
 * What the engine's thread spends on a step beside the step: plan, pack and commit, in TypeScript. Each sequence is as demanding as may be: 8,192 tokens, penalties,
 * 1,000 biases and half of the vocabulary allowed. The addon's place is taken by one that answers at once, so that what is timed is TypeScript alone; what the addon
 * does with the same slots is `kernel-bench`'s part.
 *   target: 256 sequences ≤ 0.5 ms a step (3f1f123: 46 ms with penalties alone, and 242 ms with allowed sets)
 * `node --expose-gc dist/bench/overhead.js [--rounds 200] [--context 8192]`
 */
import { parseArgs } from 'node:util'
import type { NativeEngine, StepBatch, StepOutput } from '../native/types.ts'
import { STEP_SEQUENCE, STEP_SEQUENCE_FIELDS } from '../native/types.ts'
import { EngineCore } from '../runtime/engine/core.ts'
import { requestPacker } from '../runtime/engine/packed-request.ts'
import { against, heading, median, quantile, table } from './report.ts'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '200' }, context: { type: 'string', default: '8192' } },
})
const rounds = Number(values.rounds)
const context = Number(values.context)
const VOCABULARY = 151_936
const BLOCK_SIZE = 16
const TARGET_MS = 0.5

/** Samples token 7 for everybody, at once. */
function instantly(blockCount: number): NativeEngine {
  const none = () => {}
  const step = ({ sequences }: StepBatch): Promise<StepOutput> => {
    let rows = 0
    const count = sequences.length / STEP_SEQUENCE_FIELDS
    for (let b = 0; b < count; b++) rows += sequences[b * STEP_SEQUENCE_FIELDS + STEP_SEQUENCE.samples]
    return Promise.resolve({
      tokens: new Int32Array(rows).fill(7),
      logprob: new Float32Array(rows),
      rank: new Int32Array(rows),
      topStarts: new Int32Array(rows + 1),
      topTokens: new Int32Array(0),
      topLogprobs: new Float32Array(0),
      sequenceStatus: new Uint8Array(count),
      rowStatus: new Uint8Array(rows),
      stopped: new Uint8Array(rows),
      runMs: 0,
      sampleMs: 0,
    })
  }
  const adapters = { pinImage: none, unpinImage: none, putAdapter: none, adapterReady: () => true, dropAdapter: none }
  return { blockBytes: 4096, blockCount, ...adapters, addMasks: none, admit: none, release: none, step, close: none }
}

async function measure(count: number, overlap: boolean) {
  const blockCount = count * Math.ceil((context + rounds + 200) / BLOCK_SIZE) + 64
  const limits = { blockCount, blockSize: BLOCK_SIZE, vocabSize: VOCABULARY, maxModelLen: 2 * context + 10_000 }
  const settings = { maxBatchTokens: 2048, maxSequences: count, prefixCache: true, copiesAside: false, overlap, validate: false }
  const core = new EngineCore(
    instantly(blockCount),
    { ...limits, ...settings },
    () => 1n,
    () => {},
  )
  const pack = requestPacker(VOCABULARY)
  const ids = (length: number, step: number) => Array.from({ length }, (_, i) => (i * step) % VOCABULARY)
  for (let i = 0; i < count; i++) {
    const sampling = {
      ...{ maxTokens: rounds + 100, minTokens: 0, temperature: 1, topP: 0.9, topK: 0, minP: 0, ignoreEos: false },
      ...{ presencePenalty: 0.5, frequencyPenalty: 0.5, repetitionPenalty: 1.05, logprobs: -1, promptLogprobs: -1 },
      logitBias: ids(1000, 7).map((id): [number, number] => [id, 1]),
      allowedTokenIds: ids(VOCABULARY / 2, 2),
      stopTokenIds: [1, 2, 3],
      eosTokenIds: [2],
    }
    // Distinct prompts: no prefix is shared.
    const promptIds = ids(context, 3)
    promptIds[0] = i
    core.submit(pack({ id: `${i}`, promptIds, adapters: [], arrival: i, sampling }))
  }
  while (core.counters.generationTokens < count) {
    await core.step(() => {})
    core.takeOutputs()
  }
  const times: number[] = []
  const bytes: number[] = []
  for (let i = -20; i < rounds; i++) {
    const before = process.memoryUsage().heapUsed
    const started = performance.now()
    await core.step(() => {})
    const took = performance.now() - started
    const grown = process.memoryUsage().heapUsed - before
    core.takeOutputs()
    core.takeSteps()
    if (i < 0) continue
    times.push(took)
    if (grown > 0) bytes.push(grown) // less: a collection came in between
  }
  return { times, bytes }
}

console.log(heading(`Plan, pack and commit of a decode step, ${context} tokens a sequence, everything asked for`))
const rows: (string | number)[][] = []
let worst = 0
for (const count of [1, 64, 256])
  for (const overlap of [false, true]) {
    global.gc?.()
    const { times, bytes } = await measure(count, overlap)
    if (count === 256) worst = Math.max(worst, median(times))
    rows.push([
      count,
      overlap ? 'next step planned during each' : 'one after the other',
      median(times).toFixed(3),
      quantile(times, 0.99).toFixed(3),
      (median(bytes) / 1024).toFixed(0),
    ])
  }
console.log(table(['sequences', 'steps', 'median ms', 'p99 ms', 'KiB allocated a step'], rows))
console.log(against(`256 sequences ≤ ${TARGET_MS} ms: ${worst.toFixed(3)}`, worst <= TARGET_MS))
