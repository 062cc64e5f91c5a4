/** The table that `vllm bench serve` prints, and the file that it writes. */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { BenchOptions } from './options.ts'
import type { Results } from './results.ts'
import type { Run } from './run.ts'
import type { MetricName } from './settings.ts'

const WIDTH = 50
const NAME = 40
/** Errors that are told. */
const SHOWN = 10

const HEADINGS: Record<MetricName, [name: string, heading: string]> = {
  ttft: ['TTFT', 'Time to First Token'],
  tpot: ['TPOT', 'Time per Output Token (excl. 1st token)'],
  itl: ['ITL', 'Inter-token Latency'],
  e2el: ['E2EL', 'End-to-end Latency'],
}

/** As Python's `{:^50}` with a fill: what is odd stands behind. */
function heading(text: string, fill: string): string {
  const before = Math.floor((WIDTH - text.length) / 2)
  return text.length >= WIDTH ? text : `${fill.repeat(before)}${text}${fill.repeat(WIDTH - text.length - before)}`
}

const line = (name: string, value: string) => `${name.padEnd(NAME)} ${value.padEnd(10)}`

export function reportTable(results: Results, { rate, concurrency, metrics }: BenchOptions, { adapters, late }: Run): string {
  const times = metrics.flatMap((metric) => {
    const [name, title] = HEADINGS[metric]
    const { mean, median, percentiles } = results.times[metric]
    return [
      heading(title, '-'),
      line(`Mean ${name} (ms):`, mean.toFixed(2)),
      line(`Median ${name} (ms):`, median.toFixed(2)),
      ...percentiles.map(([p, value]) => line(`P${p} ${name} (ms):`, value.toFixed(2))),
    ]
  })
  return [
    heading(' Serving Benchmark Result ', '='),
    line('Successful requests:', `${results.completed}`),
    line('Failed requests:', `${results.failed}`),
    ...(concurrency === undefined ? [] : [line('Maximum request concurrency:', `${concurrency}`)]),
    ...(rate === Number.POSITIVE_INFINITY ? [] : [line('Request rate configured (RPS):', rate.toFixed(2))]),
    ...(adapters.length === 0 ? [] : [line('Adapters:', `${adapters.length}`)]),
    line('Benchmark duration (s):', results.seconds.toFixed(2)),
    line('Total input tokens:', `${results.inputTokens}`),
    line('Total generated tokens:', `${results.outputTokens}`),
    line('Request throughput (req/s):', results.requestThroughput.toFixed(2)),
    ...(results.goodput === undefined ? [] : [line('Request goodput (req/s):', results.goodput.toFixed(2))]),
    line('Output token throughput (tok/s):', results.outputThroughput.toFixed(2)),
    line('Peak output token throughput (tok/s):', results.peakOutput.toFixed(2)),
    line('Peak concurrent requests:', results.peakConcurrent.toFixed(2)),
    line('Total token throughput (tok/s):', results.totalThroughput.toFixed(2)),
    ...(rate === Number.POSITIVE_INFINITY ? [] : [line('Latest sent late by (ms):', late.toFixed(2))]),
    ...times,
    '='.repeat(WIDTH),
    ...results.errors.slice(0, SHOWN).map(({ name, count, detail }) => `${count} × ${name}${detail ? `: ${detail}` : ''}`),
  ].join('\n')
}

/** With vLLM's keys; what it writes in seconds (lists of single requests) is in seconds here. */
export function resultJson(
  results: Results,
  options: BenchOptions,
  { model, adapters, outcomes, queued }: Run,
  now: Date,
): Record<string, unknown> {
  const { label = null, endpoint, prompts, rate, burstiness, concurrency = null, metadata, metrics, save } = options
  const times = Object.fromEntries(
    metrics.flatMap((name) => {
      const { mean, median, std, percentiles } = results.times[name]
      const of = percentiles.map(([p, value]) => [`p${p}_${name}_ms`, value])
      return [[`mean_${name}_ms`, mean], [`median_${name}_ms`, median], [`std_${name}_ms`, std], ...of]
    }),
  )
  const seconds = (ms: number) => ms / 1000
  const backend = endpoint === '/v1/completions' ? 'openai' : 'openai-chat'
  return {
    date: stamp(now),
    endpoint_type: backend,
    backend,
    label,
    model_id: model,
    tokenizer_id: model,
    num_prompts: prompts,
    ...metadata,
    request_rate: rate === Number.POSITIVE_INFINITY ? 'inf' : rate,
    burstiness,
    max_concurrency: concurrency,
    lora_modules: adapters,
    duration: results.seconds,
    completed: results.completed,
    failed: results.failed,
    total_input_tokens: results.inputTokens,
    total_output_tokens: results.outputTokens,
    request_throughput: results.requestThroughput,
    request_goodput: results.goodput ?? null,
    output_throughput: results.outputThroughput,
    total_token_throughput: results.totalThroughput,
    max_output_tokens_per_s: results.peakOutput,
    max_concurrent_requests: results.peakConcurrent,
    error_counts: Object.fromEntries(results.errors.map(({ name, count }) => [name, count])),
    ...(save?.detailed && {
      input_lens: outcomes.map((one) => one.promptTokens),
      output_lens: outcomes.map((one) => (one.error === undefined ? one.outputTokens : 0)),
      ttfts: outcomes.map((one) => seconds(one.ttft)),
      itls: outcomes.map((one) => one.itl.map(seconds)),
      latencies: outcomes.map((one) => seconds(one.latency)),
      start_times: outcomes.map((one) => seconds(one.startedAt)),
      queue_times: queued.map(seconds),
      generated_texts: outcomes.map((one) => one.text),
      errors: outcomes.map((one) => one.error ?? ''),
    }),
    ...times,
  }
}

/** 20261127-154530, in local time. */
function stamp(now: Date): string {
  const two = (number: number) => String(number).padStart(2, '0')
  const date = `${now.getFullYear()}${two(now.getMonth() + 1)}${two(now.getDate())}`
  return `${date}-${two(now.getHours())}${two(now.getMinutes())}${two(now.getSeconds())}`
}

/** Returns the file's path. Throws the system's error. */
export function saveResult(json: Record<string, unknown>, { save, label, rate, concurrency }: BenchOptions): string {
  const at = concurrency === undefined ? '' : `-concurrency${concurrency}`
  const asked = rate === Number.POSITIVE_INFINITY ? 'inf' : `${rate}`
  const model = String(json.model_id).split('/').at(-1)
  const name = save?.filename ?? `${label ?? json.backend}-${asked}qps${at}-${model}-${json.date}.json`
  const directory = save?.directory ?? '.'
  mkdirSync(directory, { recursive: true })
  const file = path.join(directory, name)
  writeFileSync(file, `${JSON.stringify(json)}\n`)
  return file
}
