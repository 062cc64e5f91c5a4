/** The command line of `lorikeet bench`, read. */
import { readFlags } from '../config/flags.ts'
import type { Setting } from '../config/setting.ts'
import { ConfigError, readValue } from '../config/values.ts'
import { nearest } from '../nearest.ts'
import { BENCH_SETTINGS, METRICS, type MetricName, PASSED_OVER, SEVERAL, SPELLED } from './settings.ts'

export interface BenchOptions {
  /** Without a slash at its end. */
  url: string
  endpoint: '/v1/completions' | '/v1/chat/completions'
  model?: string
  loraModules?: string[]
  assignment: 'random' | 'round-robin'
  /** So many of those that the server lists. */
  adapters?: number
  /** Exponent of the power law; 0: uniform. */
  skew: number
  prompts: number
  warmups: number
  /** Requests a second; Infinity: all at once. */
  rate: number
  burstiness: number
  concurrency?: number
  inputLen: number
  outputLen: number
  rangeRatio: number
  /** Fields of each request's body. */
  body: Record<string, unknown>
  headers: Record<string, string>
  insecure: boolean
  seed: number
  /** Milliseconds by metric. */
  goodput: Partial<Record<MetricName, number>>
  metrics: MetricName[]
  percentiles: number[]
  save?: { detailed: boolean; directory?: string; filename?: string }
  label?: string
  metadata: Record<string, string>
}

/** Throws ConfigError. */
export function benchOptions(args: string[], environment: Record<string, string | undefined>): BenchOptions {
  const { values, positionals } = readFlags(spelledOurs(args), BENCH_SETTINGS, (flag, known) => {
    const [near] = nearest(flag, known, 1)
    return new ConfigError(`unknown flag ${flag}; ${near ? `did you mean ${near}?` : 'see lorikeet bench --help'}`)
  })
  const get = <T>(name: keyof typeof BENCH_SETTINGS): T => {
    const setting: Setting = BENCH_SETTINGS[name]
    return (values[name] ?? (setting.fallback === undefined ? undefined : readValue(name, setting, setting.fallback))) as T
  }
  const urls = [...positionals, ...(values['base-url'] === undefined ? [] : [values['base-url'] as string])]
  if (urls.length !== 1)
    throw new ConfigError(
      urls.length === 0
        ? 'give the URL of a server: lorikeet bench http://localhost:8080'
        : `one server is asked, not ${urls.length}: ${urls.join(' ')}`,
    )
  const [loraModules, adapters] = [get<string[] | undefined>('lora-modules'), get<number | undefined>('adapters')]
  if (loraModules && adapters)
    throw new ConfigError('--adapters takes what the server lists, and --lora-modules names them: leave one of them out')
  const temperature = get<string | undefined>('temperature')
  const key = get<string | undefined>('api-key') ?? environment.OPENAI_API_KEY
  const rate = get<string>('request-rate')
  if (Number(rate) === 0) throw new ConfigError('--request-rate must be inf or more than 0')
  return {
    url: urlOf(urls[0]),
    endpoint: get('endpoint'),
    model: get('model'),
    loraModules,
    assignment: get('lora-assignment'),
    adapters,
    skew: get('adapter-distribution') === 'power-law' ? get<number>('adapter-skew') : 0,
    prompts: get('num-prompts'),
    warmups: get('num-warmups'),
    rate: rate === 'inf' ? Number.POSITIVE_INFINITY : Number(rate),
    burstiness: get('burstiness'),
    concurrency: get('max-concurrency'),
    inputLen: get('random-input-len'),
    outputLen: get('random-output-len'),
    rangeRatio: Number(get<string>('random-range-ratio')),
    body: {
      ...(get<boolean>('ignore-eos') && { ignore_eos: true }),
      ...(temperature !== undefined && { temperature: Number(temperature) }),
      ...bodyOf(get('extra-body')),
    },
    headers: { ...(key && { authorization: `Bearer ${key}` }), ...pairs('--header', get('header')) },
    insecure: get('insecure'),
    seed: get('seed'),
    goodput: goodputOf(get<string[] | undefined>('goodput') ?? []),
    metrics: metricsOf(get('percentile-metrics')),
    percentiles: percentilesOf(get('metric-percentiles')),
    save: get<boolean>('save-result')
      ? { detailed: get('save-detailed'), directory: get('result-dir'), filename: get('result-filename') }
      : undefined,
    label: get('label'),
    metadata: pairs('--metadata', get('metadata')),
  }
}

/** Underscores, several values behind one flag, and what vLLM's client has besides. */
function spelledOurs(args: readonly string[]): string[] {
  const read: string[] = []
  for (let at = 0; at < args.length; at++) {
    const [, given, inline] = /^--([^=]+)(?:=(.*))?$/s.exec(args[at]) ?? []
    const name = given?.replaceAll('_', '-')
    const follows = () => args[at + 1] !== undefined && !args[at + 1].startsWith('--')
    if (name === undefined) read.push(args[at])
    else if (Object.hasOwn(PASSED_OVER, name)) {
      if (PASSED_OVER[name].value && inline === undefined && follows()) at++
    } else if (Object.hasOwn(SPELLED, name)) {
      const value = inline ?? (follows() ? args[++at] : '')
      if (!Object.hasOwn(SPELLED[name], value))
        throw new ConfigError(`--${name} must be one of ${Object.keys(SPELLED[name]).join(', ')}, not ${JSON.stringify(value)}`)
      const ours = SPELLED[name][value]
      if (ours) read.push(`--${ours[0]}=${ours[1]}`)
    } else if (SEVERAL.includes(name)) {
      const values = inline === undefined ? [] : [inline]
      while (inline === undefined && follows()) values.push(args[++at])
      if (values.length === 0) throw new ConfigError(`--${name} needs a value`)
      read.push(...values.map((value) => `--${name}=${value}`))
    } else read.push(`--${name}${inline === undefined ? '' : `=${inline}`}`)
  }
  return read
}

function urlOf(given: string): string {
  let url: URL | undefined
  try {
    url = new URL(given)
  } catch {
    // Below.
  }
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:')
    throw new ConfigError(`${given} must be a URL like http://localhost:8080`)
  return given.replace(/\/+$/, '')
}

function bodyOf(json: string | undefined): Record<string, unknown> {
  if (json === undefined) return {}
  try {
    return JSON.parse(json) as Record<string, unknown>
  } catch (error) {
    throw new ConfigError(`--extra-body is not JSON: ${(error as Error).message}`)
  }
}

function pairs(flag: string, list: readonly string[] = []): Record<string, string> {
  return Object.fromEntries(
    list.map((item) => {
      const at = item.indexOf('=')
      if (at < 1) throw new ConfigError(`${flag} must be NAME=VALUE, not ${JSON.stringify(item)}`)
      return [item.slice(0, at).trim(), item.slice(at + 1).trim()]
    }),
  )
}

const isMetric = (name: string): name is MetricName => (METRICS as readonly string[]).includes(name)

function goodputOf(list: readonly string[]): BenchOptions['goodput'] {
  return Object.fromEntries(
    list.map((item) => {
      const [, name, ms] = /^(ttft|tpot|e2el):(\d*\.?\d+)$/.exec(item) ?? []
      if (name === undefined) throw new ConfigError(`--goodput must be ttft:MS, tpot:MS or e2el:MS, not ${JSON.stringify(item)}`)
      return [name, Number(ms)]
    }),
  )
}

function metricsOf(list: string): MetricName[] {
  const names = list.split(',').map((name) => name.trim())
  if (!names.every(isMetric))
    throw new ConfigError(`--percentile-metrics must be some of ${METRICS.join(',')}, not ${JSON.stringify(list)}`)
  return METRICS.filter((name) => names.includes(name))
}

function percentilesOf(list: string): number[] {
  const numbers = list.split(',').map((item) => (item.trim() === '' ? Number.NaN : Number(item)))
  if (!numbers.every((number) => number >= 0 && number <= 100))
    throw new ConfigError(`--metric-percentiles must be numbers from 0 to 100 with commas, not ${JSON.stringify(list)}`)
  return numbers
}
