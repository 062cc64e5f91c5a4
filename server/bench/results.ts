/** What came of a run, in the numbers and under the names of `vllm bench serve`. */
import type { BenchOptions } from './options.ts'
import type { Outcome } from './request.ts'
import type { Run } from './run.ts'
import type { MetricName } from './settings.ts'

export interface Statistics {
  mean: number
  median: number
  std: number
  /** [percentile, value]. */
  percentiles: [number, number][]
}

export interface Results {
  completed: number
  failed: number
  /** By name, the most frequent first. */
  errors: { name: string; count: number; detail?: string }[]
  seconds: number
  inputTokens: number
  outputTokens: number
  requestThroughput: number
  /** Requests a second that met every target; undefined: there are none. */
  goodput?: number
  outputThroughput: number
  totalThroughput: number
  /** Of any second of the run. */
  peakOutput: number
  peakConcurrent: number
  /** Milliseconds. */
  times: Record<MetricName, Statistics>
}

export function resultsOf({ outcomes, seconds }: Run, { goodput, percentiles }: BenchOptions): Results {
  const good = outcomes.filter(({ error }) => error === undefined)
  const [inputTokens, outputTokens] = [sumOf(good.map((one) => one.promptTokens)), sumOf(good.map((one) => one.outputTokens))]
  const tpots = good.map(tpotOf)
  const of = (values: number[]) => statistics(values, percentiles)
  const targets = Object.entries(goodput)
  const meets = (one: Outcome) => {
    const told: Partial<Record<string, number>> = { ttft: one.ttft, tpot: tpotOf(one), e2el: one.latency }
    return targets.every(([name, most]) => (told[name] as number) <= (most as number))
  }
  return {
    completed: good.length,
    failed: outcomes.length - good.length,
    errors: errorsOf(outcomes),
    seconds,
    inputTokens,
    outputTokens,
    requestThroughput: good.length / seconds,
    goodput: targets.length > 0 ? good.filter(meets).length / seconds : undefined,
    outputThroughput: outputTokens / seconds,
    totalThroughput: (inputTokens + outputTokens) / seconds,
    peakOutput: peakOutput(good),
    peakConcurrent: peakConcurrent(good),
    times: {
      ttft: of(good.map((one) => one.ttft)),
      tpot: of(tpots.filter((_, i) => good[i].outputTokens > 1)),
      itl: of(good.flatMap((one) => one.itl)),
      e2el: of(good.map((one) => one.latency)),
    },
  }
}

const sumOf = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0)

/** Milliseconds a token after the first; 0 of a single one. */
const tpotOf = ({ latency, ttft, outputTokens }: Outcome) => (outputTokens > 1 ? (latency - ttft) / (outputTokens - 1) : 0)

function statistics(values: number[], wanted: readonly number[]): Statistics {
  const sorted = Float64Array.from(values).sort()
  const mean = sorted.length === 0 ? 0 : sorted.reduce((sum, value) => sum + value, 0) / sorted.length
  const variance = sorted.length === 0 ? 0 : sorted.reduce((sum, value) => sum + (value - mean) ** 2, 0) / sorted.length
  return {
    mean,
    median: percentile(sorted, 50),
    std: Math.sqrt(variance),
    percentiles: wanted.map((p) => [p, percentile(sorted, p)]),
  }
}

/** Linear between the two nearest, as numpy's default; 0 of none. */
export function percentile(sorted: Float64Array, p: number): number {
  if (sorted.length === 0) return 0
  const at = ((sorted.length - 1) * p) / 100
  const below = Math.floor(at)
  const above = Math.min(below + 1, sorted.length - 1)
  return sorted[below] + (at - below) * (sorted[above] - sorted[below])
}

function errorsOf(outcomes: readonly Outcome[]): Results['errors'] {
  const found = new Map<string, { count: number; detail?: string }>()
  for (const { error, detail } of outcomes) {
    if (error === undefined) continue
    const there = found.get(error)
    if (there) there.count++
    else found.set(error, { count: 1, detail })
  }
  return [...found].map(([name, rest]) => ({ name, ...rest })).sort((a, b) => b.count - a.count)
}

/** Pieces that came in the fullest second, counted from the first request; of a server that sends each token by itself those are tokens. */
function peakOutput(good: readonly Outcome[]): number {
  const bySecond = new Map<number, number>()
  for (const { startedAt, ttft, itl } of good) {
    let at = startedAt + ttft
    for (const wait of [0, ...itl]) {
      at += wait
      const second = Math.floor(at / 1000)
      bySecond.set(second, (bySecond.get(second) ?? 0) + 1)
    }
  }
  return [...bySecond.values()].reduce((most, count) => Math.max(most, count), 0)
}

function peakConcurrent(good: readonly Outcome[]): number {
  // Who leaves goes before who comes in the same moment.
  const changes = good
    .flatMap(({ startedAt, latency }) => [
      [startedAt, 1],
      [startedAt + latency, -1],
    ])
    .sort((a, b) => a[0] - b[0] || a[1] - b[1])
  let running = 0
  let most = 0
  for (const [, change] of changes) {
    running += change
    most = Math.max(most, running)
  }
  return most
}
