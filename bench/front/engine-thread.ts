/** In the place of the engine's thread: computes nothing, and tells every sequence of a token at the pace that the benchmark asks for. */
import { parentPort, workerData } from 'node:worker_threads'
import type { FromEngine, ToEngine } from '../../runtime/engine/messages.ts'
import { transferable } from '../../runtime/engine/outputs.ts'
import type { LogprobRows, Logprobs, SequenceOutput } from '../../runtime/index.ts'

export interface EngineThreadData {
  /** Tokens of a text; sequences read it from different places on. */
  text: number[]
  /** Milliseconds of the machine's monotonic clock at which step i was told. */
  toldAt: Float64Array
}

/** Tell the first `sequences` of a token every `every` milliseconds, `steps` times; then all end. */
export interface Pace {
  type: 'pace'
  every: number
  steps: number
  sequences: number
}

interface Open {
  id: string
  at: number
  logprobs: number
}

const port = parentPort as NonNullable<typeof parentPort>
const { text, toldAt } = workerData as EngineThreadData
const open = new Map<string, Open>()
const clock = () => Number(process.hrtime.bigint()) / 1e6

/** `count` rows with as many likeliest each, as a native step reports them. */
function logprobsOf(tokens: number[], top: number): Logprobs {
  const count = tokens.length
  return {
    tokens: Int32Array.from(tokens),
    logprob: Float32Array.from(tokens, Math.random),
    rank: new Int32Array(count).fill(1),
    topStarts: Int32Array.from({ length: count + 1 }, (_, i) => i * top),
    topTokens: Int32Array.from({ length: count * top }, (_, i) => text[i % text.length]),
    topLogprobs: Float32Array.from({ length: count * top }, () => -Math.random()),
  }
}

function outputsOf(sequences: Open[], first: boolean, last: boolean): SequenceOutput[] {
  const tokens = sequences.map((sequence) => text[sequence.at++ % text.length])
  const top = Math.max(...sequences.map(({ logprobs }) => logprobs))
  const all = top < 0 ? undefined : logprobsOf(tokens, top)
  return sequences.map(({ id }, i) => ({
    id,
    tokens: [tokens[i]],
    ...(all && { logprobs: { of: all, from: i, to: i + 1 } satisfies LogprobRows }),
    ...(first && { cachedTokens: 0, scheduledAt: Date.now() }),
    ...(last && { finish: 'length' as const }),
  }))
}

function tell({ every, steps, sequences }: Pace): void {
  let step = 0
  const from = clock() + every
  const next = () => {
    const last = step === steps - 1
    const all = [...open.values()]
    const outputs = outputsOf(last ? all : all.slice(0, sequences), step === 0, last)
    if (last) open.clear()
    const times = { tokens: outputs.length, sequences: outputs.length, scheduleMs: 0, runMs: 0, sampleMs: 0 }
    toldAt[step++] = clock()
    port.postMessage({ type: 'step', outputs, steps: [times] } satisfies FromEngine, transferable(outputs))
    if (!last) setTimeout(next, from + step * every - clock())
  }
  setTimeout(next, every)
}

port.on('message', (message: ToEngine | Pace) => {
  if (message.type === 'submit') {
    const { id, sampling } = message.request
    open.set(id, { id, at: open.size * 7, logprobs: sampling.logprobs })
  } else if (message.type === 'abort') open.delete(message.id)
  else if (message.type === 'pace') {
    tell(message)
  } else if (message.type === 'close') port.close()
})
