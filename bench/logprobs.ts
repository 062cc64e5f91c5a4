/**
 * What prompt logprobs cost the two threads: 32k prompt tokens with the 20 likeliest each.
 *   crossing: milliseconds to post a message (the engine's thread) and to read it (the main thread), for a chunk's typed arrays and, as it was before, for one
 *             message of objects. Target: ≤ 1 ms a message
 *   answering: a server over an engine that brings a chunk a turn; the longest that its event loop stood still until the answer was sent, in time of the clock and
 *             (Linux) of the processor, which is what counts on a machine with other work, and how long all took. Target: ≤ 10 ms
 * `node dist/bench/logprobs.js [--tokens 32768] [--top 20] [--chunk 256] [--rounds 5]`
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { MessageChannel, receiveMessageOnPort, Worker } from 'node:worker_threads'
import { transferable } from '../runtime/engine/outputs.ts'
import type { Logprobs, SequenceOutput } from '../runtime/index.ts'
import { fakeServing } from '../test/support/fake-serving.ts'
import { tokenLogprobs } from '../test/support/logprobs.ts'
import { heading, median, table } from './report.ts'

const { values } = parseArgs({
  options: {
    tokens: { type: 'string', default: '32768' },
    top: { type: 'string', default: '20' },
    chunk: { type: 'string', default: '256' },
    rounds: { type: 'string', default: '5' },
  },
})
const [tokens, top, chunk, rounds] = [values.tokens, values.top, values.chunk, values.rounds].map(Number)
const VOCABULARY = 1536

function rowsOf(count: number): Logprobs {
  const numbers = (length: number) => Float32Array.from({ length }, () => -20 * Math.random())
  const ids = (length: number) => Int32Array.from({ length }, () => Math.random() * VOCABULARY)
  return {
    tokens: ids(count),
    logprob: numbers(count),
    rank: ids(count),
    topStarts: Int32Array.from({ length: count + 1 }, (_, i) => i * top),
    topTokens: ids(count * top),
    topLogprobs: numbers(count * top),
  }
}

const pieceOf = (count: number): SequenceOutput => ({
  id: 'a',
  tokens: [],
  promptLogprobs: { of: rowsOf(count), from: 0, to: count },
})

function crossing(message: unknown, moved: ArrayBuffer[]): { post: number; read: number } {
  const { port1, port2 } = new MessageChannel()
  const started = performance.now()
  port1.postMessage(message, moved)
  const posted = performance.now()
  receiveMessageOnPort(port2)
  const read = performance.now()
  port1.close()
  return { post: posted - started, read: read - posted }
}

/** Asks in a thread of its own, so that reading the answer is not the server's time. */
const ASKS = `
  const { parentPort, workerData } = require('node:worker_threads')
  fetch(workerData.url, { method: 'POST', body: workerData.body, headers: { 'content-type': 'application/json' } })
    .then((answer) => answer.arrayBuffer())
    .then((bytes) => parentPort.postMessage(bytes.byteLength))`

/** Milliseconds that this thread has computed. */
const computed = () => Number(readFileSync('/proc/self/schedstat', 'latin1').split(' ')[0]) / 1e6

async function answering(stream: boolean) {
  const endings: (() => Promise<void>)[] = []
  let longest = 0
  let longestComputed = 0
  let started = 0
  const fake = await fakeServing({ teardown: (end) => endings.push(end) }, (one) => {
    let left = tokens - 1
    const next = () => {
      if (left === 0) return one.send({ tokens: [7], cachedTokens: 0, finish: 'length' })
      const count = Math.min(chunk, left)
      left -= count
      one.send(pieceOf(count))
      setImmediate(next)
    }
    started = performance.now()
    setImmediate(next)
  })
  const body = JSON.stringify({ prompt: Array.from({ length: tokens }, () => 7), max_tokens: 1, prompt_logprobs: top, stream })
  let done: number | undefined
  new Worker(ASKS, { eval: true, workerData: { url: `${fake.url}/v1/completions`, body } }).once('message', (bytes: number) => {
    done = bytes
  })
  for (let before = performance.now(), computedBefore = computed(); done === undefined; ) {
    await new Promise((resolve) => setImmediate(resolve))
    const [now, computedNow] = [performance.now(), computed()]
    // Reading the request is not what is measured.
    if (started > 0 && before > started) {
      longest = Math.max(longest, now - before)
      longestComputed = Math.max(longestComputed, computedNow - computedBefore)
    }
    before = now
    computedBefore = computedNow
  }
  const took = performance.now() - started
  for (const end of endings) await end()
  return { longest, longestComputed, took, bytes: done }
}

const chunks = Array.from({ length: rounds * 20 }, () => {
  const outputs = [pieceOf(chunk)]
  return crossing({ type: 'step', outputs }, transferable(outputs))
})
const objects = Array.from({ length: rounds }, () =>
  crossing(
    { type: 'step', outputs: [{ id: 'a', tokens: [], promptLogprobs: tokenLogprobs(pieceOf(tokens).promptLogprobs) }] },
    [],
  ),
)
const ms = (all: number[]) => [median(all), Math.max(...all)].map((value) => value.toFixed(3))
console.log(heading(`Prompt logprobs, ${tokens} tokens × ${top}`))
console.log(
  table(
    ['message', 'post: middle, ms', 'longest', 'read: middle, ms', 'longest'],
    [
      [`a chunk of ${chunk}, arrays`, ...ms(chunks.map(({ post }) => post)), ...ms(chunks.map(({ read }) => read))],
      ['all at once, objects', ...ms(objects.map(({ post }) => post)), ...ms(objects.map(({ read }) => read))],
    ],
  ),
)
const answers: (string | number)[][] = []
for (const stream of [false, true]) {
  const all = []
  for (let i = 0; i < rounds; i++) all.push(await answering(stream))
  answers.push([
    stream ? 'stream' : 'whole',
    (all[0].bytes / 2 ** 20).toFixed(1),
    ...ms(all.map(({ longest }) => longest)),
    ...ms(all.map(({ longestComputed }) => longestComputed)),
    median(all.map(({ took }) => took)).toFixed(0),
  ])
}
const head = ['answer', 'MiB', 'longest block: middle, ms', 'longest', 'computing: middle, ms', 'longest', 'in all, ms']
console.log(table(head, answers))
process.exit(0)
