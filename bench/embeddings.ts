/**
 * Embeddings on 16 rank-16 adapters of the 135M-parameter shape over HTTP, against HF transformers + PEFT without HTTP, and what sums of hidden states cost a step of many sequences. 2 threads, float32, in turns in one run.
 *   floor     the layers' matrix products alone, of as many tokens (no head: texts that are embedded have none)
 *   targets   ≥ 2 × PEFT's better way; a step in which 8 of 32 rows are pooled takes ≤ 1.02 × the same step without those sums, and so does one with a prompt of 128 tokens whose mean is taken
 * `node dist/bench/embeddings.js [--rounds 4] [--texts 2] [--tokens 32]`: texts of each adapter, and tokens of each. The peer needs python3 with torch, transformers and peft.
 */
import path from 'node:path'
import { parseArgs } from 'node:util'
import { loadAdapter } from '../adapters-store/index.ts'
import type { NativeEngine, PackedAdapter, StepBatch } from '../native/types.ts'
import { blockBytesOf } from '../runtime/model/block-size.ts'
import { buildModel } from '../runtime/model/index.ts'
import { startNativeEngine } from '../test/support/native-step.ts'
import { repoRoot } from '../test/support/repo.ts'
import { GREEDY, releaseRows, residentsOf, slotInput } from './decode-batch.ts'
import { openFloor } from './floor.ts'
import { type BenchModel, model135m } from './model135m.ts'
import { Peer } from './peers/peer.ts'
import { against, heading, median, sleep, table } from './report.ts'
import { startServer } from './server-process.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '4' },
    texts: { type: 'string', default: '2' },
    tokens: { type: 'string', default: '32' },
  },
})
const ADAPTERS = 16
const THREADS = 2
const rounds = Number(values.rounds)
const texts = ADAPTERS * Number(values.texts)
const length = Number(values.tokens)

console.log(
  heading(`${texts} texts of ${length} tokens on ${ADAPTERS} adapters, embedded; 135M parameters in float32, ${THREADS} threads`),
)
const model = model135m(ADAPTERS)

interface Job {
  prompts: number[][]
  adapters: string[]
}

/** New texts every round, so that no prefix cache answers for anybody. */
const jobOf = (round: number): Job => ({
  prompts: Array.from({ length: texts }, (_, text) =>
    Array.from({ length }, (_, i) => 10 + ((round * 7919 + text * 997 + i * i * 131 + i * 17) % 1500)),
  ),
  adapters: Array.from({ length: texts }, (_, text) => model.names[text % ADAPTERS]),
})

/** A request for each adapter at once; seconds until all are answered, and the first text's vector. */
async function embed(url: string, { prompts, adapters }: Job, base: boolean): Promise<{ seconds: number; first: number[] }> {
  const from = performance.now()
  const answers = await Promise.all(
    model.names.map(async (name) => {
      const input = prompts.filter((_, text) => adapters[text] === name)
      const body = JSON.stringify({ model: base ? 'base' : name, input, encoding_format: 'base64' })
      const answer = await fetch(`${url}/v1/embeddings`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
      })
      if (answer.status !== 200) throw new Error(await answer.text())
      return (await answer.json()) as { data: { embedding: string }[] }
    }),
  )
  const seconds = (performance.now() - from) / 1000
  const bytes = Buffer.from(answers[0].data[0].embedding, 'base64')
  return { seconds, first: Array.from({ length: 8 }, (_, i) => bytes.readFloatLE(4 * i)) }
}

async function startPeft({ directory, adapters, names }: BenchModel): Promise<Peer | undefined> {
  const script = path.join(repoRoot(), 'bench/peers/peft_embed.py')
  const flags = ['--model', directory, '--adapters', adapters, '--names', names.join(), '--threads', String(THREADS)]
  try {
    return await Peer.start(['python3', script, ...flags])
  } catch (error) {
    console.log(`PEFT: missing on this machine (${(error as Error).message.split('\n')[0]})`)
    return undefined
  }
}

async function throughput(): Promise<void> {
  const lorikeet = await startServer([
    model.directory,
    ...['--adapters', model.adapters, '--pool', '1GiB', '--served-model-name', 'base', '--log-level', 'error'],
  ])
  const peft = await startPeft(model)
  const floor = await openFloor(model, THREADS, false)
  const vectors: Record<string, number[]> = {}
  const contenders: Record<string, (job: Job) => Promise<number>> = {
    'the products alone': async () => (await floor.run(texts * length)) / 1000,
    'Lorikeet over HTTP, 16 adapters': async (job) => {
      const { seconds, first } = await embed(lorikeet.url, job, false)
      vectors.lorikeet = first
      return seconds
    },
    'Lorikeet over HTTP, base alone': async (job) => (await embed(lorikeet.url, job, true)).seconds,
  }
  if (peft)
    for (const [name, mixed] of [
      ['HF PEFT, one batch of `adapter_names`', true],
      ['HF PEFT, a batch for each adapter', false],
    ] as const)
      contenders[name] = async (job) => {
        const answer = (await peft.run({ ...job, mixed })) as { seconds: number; tokens: number; first?: number[] }
        vectors.peft = answer.first ?? []
        return answer.seconds
      }
  const times: Record<string, number[]> = {}
  for (let round = -1; round < rounds; round++)
    for (const [name, run] of Object.entries(contenders)) {
      await sleep(100) // the one before has stopped spinning
      const took = await run(jobOf(round + 1))
      times[name] ??= []
      // Round -1 warms up: adapters come into the pool, pages into memory.
      if (round >= 0) times[name].push(took)
    }
  await lorikeet.close()
  peft?.close()
  await floor.close()
  const [products, ours] = Object.values(times).map(median)
  console.log(
    table(
      ['what', 'texts/s', 'tokens/s', 'ms', 'of the products alone'],
      Object.entries(times).map(([name, took]) => {
        const seconds = median(took)
        const rates = [texts / seconds, (texts * length) / seconds].map((rate) => rate.toFixed(0))
        return [name, ...rates, (seconds * 1000).toFixed(0), `${(seconds / products).toFixed(2)} ×`]
      }),
    ),
  )
  if (!peft) return
  const farthest = Math.max(...vectors.lorikeet.map((value, i) => Math.abs(value - vectors.peft[i])))
  const best = Math.min(...Object.values(times).slice(3).map(median))
  console.log(against(`≥ 2 × PEFT's better way: ${(best / ours).toFixed(2)} ×`, best / ours >= 2))
  console.log(against(`the same vectors: ${farthest.toExponential(1)} apart (≤ 1e-4)`, farthest <= 1e-4))
}

const ROWS = 32
const POOLED = 8
const CONTEXT = 128
const BLOCK_SIZE = 16
const PER_SEQUENCE = CONTEXT / BLOCK_SIZE + 1

async function openEngine(): Promise<{ engine: NativeEngine; residents: PackedAdapter[] }> {
  const built = buildModel(model.directory)
  const blockBytes = blockBytesOf(built, 'cpu', BLOCK_SIZE)
  const images = model.names.map((name) =>
    loadAdapter(name, `${model.adapters}/${name}`, built.base, { dtype: 'float16', blockBytes }),
  )
  const engine = await startNativeEngine(built, {
    adapterDtype: 'float16',
    threads: THREADS,
    blockSize: BLOCK_SIZE,
    blockCount: (ROWS + 1) * PER_SEQUENCE + images.reduce((sum, { blocks }) => sum + blocks, 0),
    maxBatchTokens: ROWS + CONTEXT,
    maxSequences: ROWS + 1,
    maxModelLen: CONTEXT + 1,
  })
  const residents = residentsOf(images, (ROWS + 1) * PER_SEQUENCE)
  for (const resident of residents) engine.putAdapter(resident)
  return { engine, residents }
}

/** 24 rows that decode and 8 that are computed and not sampled, or 24 and a prompt; `summed`: whether the hidden states of those others are. */
function batchOf(
  engine: NativeEngine,
  residents: PackedAdapter[],
  prompt: boolean,
  summed: boolean,
): { batch: StepBatch; slots: number } {
  const sequences: number[] = []
  const blocks: number[] = []
  const slots = prompt ? ROWS - POOLED + 1 : ROWS
  for (let slot = 0; slot < slots; slot++) {
    const other = slot >= ROWS - POOLED
    engine.admit(slotInput(slot, new Int32Array(CONTEXT + 1).fill(11 + slot), [residents[slot % ADAPTERS]], GREEDY))
    for (let place = 0; place < PER_SEQUENCE; place++) blocks.push(slot, place, slot * PER_SEQUENCE + place)
    const [past, count] = other && prompt ? [0, CONTEXT] : [CONTEXT, 1]
    sequences.push(slot, past, count, 0, 0, other ? 0 : 1, past, other && summed ? count : 0, 0)
  }
  return { batch: { sequences: Int32Array.from(sequences), blocks: Int32Array.from(blocks) }, slots }
}

async function sums(): Promise<void> {
  const { engine, residents } = await openEngine()
  const step = async (prompt: boolean, summed: boolean) => {
    const { batch, slots } = batchOf(engine, residents, prompt, summed)
    try {
      const from = performance.now()
      await engine.step(batch)
      return performance.now() - from
    } finally {
      releaseRows(engine, slots)
    }
  }
  const cases = [
    [`24 decoding rows and ${POOLED} others, on ${ADAPTERS} adapters`, false, 30],
    [`24 decoding rows and a prompt of ${CONTEXT} tokens`, true, 12],
  ] as const
  const rows: string[][] = []
  for (const [name, prompt, count] of cases) {
    const times: number[][] = [[], []]
    for (let round = -2; round < count; round++)
      for (const summed of round % 2 ? [0, 1] : [1, 0]) {
        await sleep(2)
        const took = await step(prompt, summed === 1)
        if (round >= 0) times[summed].push(took)
      }
    // Neighbours in time saw the same machine.
    const ratio = median(times[1].map((took, i) => took / times[0][i]))
    rows.push([name, ...times.map((took) => median(took).toFixed(1)), ratio.toFixed(3)])
  }
  engine.close()
  console.log(`\n${table(['a step with', 'ms, nothing summed', 'ms, summed', 'ratio'], rows)}`)
  const most = Math.max(...rows.map((row) => Number(row[3])))
  console.log(against(`sums of hidden states take ≤ 1.02 × the step: ${most.toFixed(3)} ×`, most <= 1.02))
}

await throughput()
await sums()
