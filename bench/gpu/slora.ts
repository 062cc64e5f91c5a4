/**
 * S-LoRA's workload (bench/slora_trace.py) against the whole server: each request is sent at its time whatever the server does (open loop), streaming, greedy, to its full
 * length. Reports what S-LoRA reports: requests completed over the wall time with drain, first-token latency, the share of requests whose first token came within
 * its 6 s; and, with several traces, what the first keeps of the last one's throughput (2,000 adapters against 5).
 * `node dist/bench/gpu/slora.js --model DIR/base --adapters DIR/slora --traces t2000.json,t5.json [--device cpu]`
 */
import { readFileSync } from 'node:fs'
import { Agent } from 'node:http'
import path from 'node:path'
import { streamCompletion } from '../clients.ts'
import { drive, summaryOf, type TraceRequest } from '../open-loop.ts'
import { readArgs } from './args.ts'
import { promptOf } from './engine.ts'
import { startServer } from './server.ts'
import { adaptersNamed } from './variants.ts'

const { device, results, values } = readArgs({ model: '', adapters: '', traces: '', dtype: 'float16', 'max-sequences': '256' })
/** S-LoRA's objective for the first token. */
const SLO_MS = 6000
/** Its throughput on one A100-80 with Llama 7B, rank 8 (table 3): the number of adapters → requests a second. */
const PAPER: Record<number, number> = { 5: 8.05, 100: 7.99, 1000: 7.64, 2000: 7.61 }

interface Trace {
  adapters: number
  rate: number
  duration: number
  alpha: number
  cv: number
  requests: TraceRequest[]
}
const traces = values.traces.split(',').map((file) => JSON.parse(readFileSync(file, 'utf8')) as Trace)
const names = adaptersNamed(values.adapters, 'attention')
const most = Math.max(...traces.map((trace) => trace.adapters))
if (names.length < most) throw new Error(`${values.adapters} holds ${names.length} adapters; the traces need ${most}`)
const vocabulary = (JSON.parse(readFileSync(path.join(values.model, 'config.json'), 'utf8')) as { vocab_size: number }).vocab_size
const longest = Math.max(...traces.flatMap(({ requests }) => requests.map((one) => one.prompt + one.output)))

const server = await startServer(values.model, device, {
  adapters: values.adapters,
  'max-sequences': values['max-sequences'],
  'max-concurrent-requests': 1_000_000,
  'max-model-len': longest + 8,
  ...(device === 'cuda' && { dtype: values.dtype, 'max-batch-tokens': 2048 }),
})
const done: { adapters: number; requestsPerS: number }[] = []
try {
  results.row('S-LoRA: server with its adapters', 'ok', `${names.length} adapters loaded in ${server.loadSeconds.toFixed(0)} s`)
  // The engine's first step and the first adapter's way are no part of the workload.
  await streamCompletion(server.url, new Agent(), { model: names[0], prompt: promptOf(1, 16, vocabulary), maxTokens: 4 })
  for (const [i, trace] of traces.entries()) {
    const loads = await server.metric('lorikeet_adapter_loads_total')
    const prompts = (k: number, length: number) => promptOf(i * 100_000 + k, length, vocabulary)
    const driven = await drive(server.url, trace.requests, (adapter) => names[adapter], prompts)
    const loaded = (await server.metric('lorikeet_adapter_loads_total')) - loads
    const one = summaryOf(trace.requests, driven, SLO_MS)
    done.push({ adapters: trace.adapters, requestsPerS: one.requestsPerS })
    results.number(`trace ${i}`, {
      ...trace,
      requests: trace.requests.length,
      seconds: driven.seconds,
      loaded,
      latestArrivalMs: driven.late,
      ...one,
    })
    const { mean, p50, p99 } = one.firstTokenMs
    const paper = device === 'cuda' && PAPER[trace.adapters] ? ` (S-LoRA, A100: ${PAPER[trace.adapters]})` : ''
    results.row(
      `S-LoRA: ${trace.adapters} adapters, ${trace.rate}/s, cv ${trace.cv}`,
      'ok',
      `${one.requestsPerS.toFixed(2)} requests/s${paper}, ${one.tokensPerS.toFixed(0)} tokens/s; first token ${(mean / 1e3).toFixed(2)} s mean, ` +
        `${(p50 / 1e3).toFixed(2)} median, ${(p99 / 1e3).toFixed(2)} p99; ${(100 * one.slo).toFixed(1)} % within 6 s; ${loaded} loads`,
    )
    const kept = i > 0 ? `, ${(done[0].requestsPerS / one.requestsPerS).toFixed(3)} of that with ${trace.adapters}` : ''
    const value = `${done[0].requestsPerS.toFixed(2)} requests/s with ${done[0].adapters} adapters${kept}`
    results.target(
      'slora',
      `S-LoRA's workload${i > 0 ? ', against few adapters' : ''}`,
      value,
      null,
      'S-LoRA on an A100-80: 7.61 with 2,000, 0.945 of that with 5',
    )
  }
} finally {
  await server.close()
}
