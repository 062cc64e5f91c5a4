/** Prometheus metrics: vLLM's names for what gateways and dashboards already read (contracts.md, sections 1 and 2), and `lorikeet_` ones for the pool and adapters. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Engine, EngineSnapshot, StepTimes } from '../../runtime/index.ts'
import type { Config } from '../config/settings.ts'
import type { Limit } from '../errors.ts'
import { logSink } from '../log.ts'
import type { RequestRecord } from '../records/record.ts'
import { NO_SPANS, type SpanCounts } from '../tracing/traces-types.ts'
import type { Conversations, Grammars, Metrics, RequestTimes } from '../types.ts'
import { VERSION } from '../version.ts'
import * as buckets from './buckets.ts'
import { conversationMetrics } from './conversations.ts'
import { grammarMetrics } from './grammars.ts'
import { requestMetrics } from './requests.ts'
import { spanMetrics } from './spans.ts'
import { speculationMetrics } from './speculation.ts'
import { type AdapterTierSources, tierMetrics } from './tiers.ts'
import { turnoverMetrics } from './turnover.ts'
import { Usage } from './usage.ts'
import { type VersionedName, versionMetrics } from './versions.ts'

const LABELS = ['model_name', 'engine'] as const

/**
 * What gateways are told of the adapters; the only place that goes through all of them, and only when the page is asked for. A gateway sends a request for another
 * one where running and waiting are fewer than `max_lora`. vLLM's is --max-loras, its fixed number of slots; the pool holds as many of the size of those that are in
 * it as its blocks give room for.
 */
function adapterLabels(engine: Engine, names: Names | undefined): Record<string, string> {
  const { blocks, frames, residentAdapters } = engine.snapshot
  const { blockBytes, frameBytes } = engine.info
  const taken = blocks.adapters - (frames.free * frameBytes) / blockBytes
  const most = residentAdapters === 0 || taken === 0 ? blocks.total : Math.floor((blocks.total * residentAdapters) / taken)
  return {
    max_lora: String(most),
    running_lora_adapters: names
      ? told([...new Set([...engine.residents.values()].flatMap((resident) => resident.names))], names)
      : '',
    waiting_lora_adapters: names ? told(engine.waitingAdapters(), names) : '',
  }
}

/** Which names the page tells. */
interface Names {
  /** At most. */
  most: number
  lastUse(name: string): number
}

/** Bytes of one label. */
const LABEL_BYTES = 32_768

/** Of more names than are told, those used last; in an order that is the same while they are. */
function told(names: string[], { most, lastUse }: Names): string {
  const chosen =
    names.length > most
      ? names.map((name) => ({ name, at: lastUse(name) })).sort((a, b) => b.at - a.at)
      : names.map((name) => ({ name }))
  let room = LABEL_BYTES
  const fitting = chosen.slice(0, most).filter(({ name }) => {
    room -= Buffer.byteLength(name) + 1
    return room >= 0
  })
  return fitting
    .map(({ name }) => name)
    .sort()
    .join(',')
}

/** Of prom-client's, those that walk every handle of the process for each page: a folder of 6,000 adapters that is watched made it take 50 ms of the main thread. */
const SLOW_METRICS = ['active_handles', 'active_requests', 'active_resources'].flatMap((what) => [
  `nodejs_${what}`,
  `nodejs_${what}_total`,
])

export class ServerMetrics implements Metrics {
  readonly contentType: string
  watched?: Pick<Metrics, 'firstToken' | 'interToken'>
  /** Names that stand for two versions. */
  canaries: () => readonly VersionedName[] = () => []
  /** What has come of the constraints of requests so far. */
  grammars: () => Grammars['counters'] = () => ({ compiled: 0, refused: 0, reused: 0, threadsLost: 0 })
  /** Spans of requests so far. */
  spans: () => Readonly<SpanCounts> = () => NO_SPANS
  /** Whether /ready answers 200. */
  ready: () => boolean = () => true
  readonly conversations: Conversations = { websockets: () => 0, responses: () => ({ count: 0, bytes: 0 }) }
  readonly endedEarly: Metrics['endedEarly']
  private readonly registry = new Registry()
  /** What gateways are told of the adapters, with their names and without. */
  private readonly named = new Registry()
  private readonly nameless = new Registry()
  private readonly engine: Engine
  private readonly labels: { model_name: string; engine: string }
  private readonly seconds: Record<string, Histogram>
  private readonly amounts: Record<string, Histogram>
  private readonly finishedRequests: Counter
  private readonly limitRefusals: Counter
  private readonly loweredRequests: Counter
  private readonly stepSeconds: Histogram
  private readonly names: Names
  /** Told of each request that is over. */
  readonly ended: (record: RequestRecord) => void
  private readonly usage: Usage
  private readonly deviceSeconds: Counter
  /** Told of each adapter that was read, with the seconds that it took. */
  readonly adapterRead: (seconds: number) => void

  constructor(
    engine: Engine,
    modelName: string,
    tiers: AdapterTierSources,
    { quantization = 'none', metricsAdapters = 256 }: Partial<Pick<Config, 'quantization' | 'metricsAdapters'>> = {},
  ) {
    this.engine = engine
    this.labels = { model_name: modelName, engine: '0' }
    this.contentType = this.registry.contentType
    this.names = { most: metricsAdapters, lastUse: (name) => tiers.registry.get(name)?.lastUse ?? 0 }
    this.gauges()
    this.counters()
    this.adapters()
    versionMetrics(this.named, this.labels, () => this.canaries())
    speculationMetrics(this.registry, this.labels, () => engine.snapshot)
    this.usage = new Usage(this.labels, metricsAdapters)
    const counted = requestMetrics(this.registry, this.labels, () => this.ready())
    this.ended = (record) => {
      counted(record)
      this.usage.note(record)
    }
    this.deviceSeconds = new Counter({
      name: 'lorikeet_device_seconds_total',
      help: 'Seconds of steps: running the graph and sampling.',
      labelNames: LABELS,
      registers: [this.registry],
    })
    this.deviceSeconds.inc(this.labels, 0)
    spanMetrics(this.registry, this.labels, () => this.spans())
    grammarMetrics(this.registry, this.labels, () => this.grammars())
    this.endedEarly = conversationMetrics(
      this.registry,
      this.labels,
      () => this.conversations,
      () => engine.snapshot.counters,
    )
    this.pool()
    this.engineInfo(quantization)
    this.adapterRead = tierMetrics(this.registry, this.labels, tiers)
    const seconds = (name: string, help: string, list: number[]) => this.histogram(`${name}_seconds`, help, list)
    this.seconds = {
      firstToken: seconds('time_to_first_token', 'Seconds from arrival to the first token.', buckets.FIRST_TOKEN),
      interToken: seconds('inter_token_latency', 'Seconds between outputs of one sequence.', buckets.TOKEN),
      timePerOutputToken: seconds('request_time_per_output_token', 'Mean seconds per output token of a request.', buckets.TOKEN),
      e2e: seconds('e2e_request_latency', 'Seconds from arrival to the last token.', buckets.REQUEST),
      queue: seconds('request_queue_time', 'Seconds spent waiting.', buckets.REQUEST),
      inference: seconds('request_inference_time', 'Seconds from first scheduled to the end.', buckets.REQUEST),
      prefill: seconds('request_prefill_time', 'Seconds from first scheduled to the first token.', buckets.REQUEST),
      decode: seconds('request_decode_time', 'Seconds from the first to the last token.', buckets.REQUEST),
    }
    this.amounts = {
      promptTokens: this.histogram('request_prompt_tokens', 'Prompt tokens of a request.', buckets.AMOUNT),
      generationTokens: this.histogram('request_generation_tokens', 'Tokens generated for a request.', buckets.AMOUNT),
      maxTokens: this.histogram('request_params_max_tokens', 'max_tokens of a request.', buckets.AMOUNT),
      iteration: this.histogram('iteration_tokens_total', 'Tokens computed in a step.', buckets.ITERATION),
    }
    this.finishedRequests = new Counter({
      name: 'vllm:request_success_total',
      help: 'Requests by how they ended.',
      labelNames: [...LABELS, 'finished_reason'],
      registers: [this.registry],
    })
    this.stepSeconds = new Histogram({
      name: 'lorikeet_step_seconds',
      help: 'Seconds that a step took, by part: making the batch, running the graph, sampling.',
      labelNames: [...LABELS, 'part'],
      buckets: buckets.STEP,
      registers: [this.registry],
    })
    this.limitRefusals = new Counter({
      name: 'lorikeet_limit_refusals_total',
      help: 'Requests refused (429) for a limit, by whose it is and by its name.',
      labelNames: [...LABELS, 'of', 'limit'],
      registers: [this.registry],
    })
    this.loweredRequests = new Counter({
      name: 'lorikeet_lowered_requests_total',
      help: 'Requests that a busy server gave fewer ranks than their adapters have.',
      labelNames: LABELS,
      registers: [this.registry],
    })
    this.loweredRequests.inc(this.labels, 0)
    for (const finished_reason of ['stop', 'length', 'abort', 'error'])
      this.finishedRequests.inc({ ...this.labels, finished_reason }, 0)
    collectDefaultMetrics({ register: this.registry })
    for (const name of SLOW_METRICS) this.registry.removeSingleMetric(name)
  }

  firstToken(seconds: number): void {
    this.seconds.firstToken.observe(this.labels, seconds)
    this.watched?.firstToken(seconds)
  }

  interToken(seconds: number): void {
    this.seconds.interToken.observe(this.labels, seconds)
    this.watched?.interToken(seconds)
  }

  finished(times: RequestTimes): void {
    this.finishedRequests.inc({ ...this.labels, finished_reason: times.finishReason })
    for (const key of ['e2e', 'queue', 'prefill', 'decode', 'inference', 'timePerOutputToken'] as const) {
      const value = times[key]
      if (value !== undefined) this.seconds[key].observe(this.labels, value)
    }
    for (const key of ['promptTokens', 'generationTokens', 'maxTokens'] as const)
      this.amounts[key].observe(this.labels, times[key])
  }

  refused({ of, name }: Limit): void {
    this.limitRefusals.inc({ ...this.labels, of, limit: name })
  }

  lowered(): void {
    this.loweredRequests.inc(this.labels)
  }

  /** After a step. */
  stepped({ tokens, scheduleMs, runMs, sampleMs }: StepTimes): void {
    this.amounts.iteration.observe(this.labels, tokens)
    this.deviceSeconds.inc(this.labels, (runMs + sampleMs) / 1000)
    for (const [part, ms] of Object.entries({ schedule: scheduleMs, run: runMs, sample: sampleMs }))
      this.stepSeconds.observe({ ...this.labels, part }, ms / 1000)
  }

  async render(names: boolean): Promise<string> {
    const pages = [this.registry, names ? this.named : this.nameless].map((registry) => registry.metrics())
    const page = (await Promise.all(pages)).join('\n')
    return names ? `${page}\n${this.usage.render()}` : page
  }

  private histogram(name: string, help: string, list: number[]): Histogram {
    return new Histogram({ name: `vllm:${name}`, help, labelNames: LABELS, buckets: list, registers: [this.registry] })
  }

  /** A gauge or a counter whose value is read off the snapshot when the page is made. */
  private read(
    kind: typeof Gauge | typeof Counter,
    name: string,
    help: string,
    value: (snapshot: EngineSnapshot) => number,
  ): void {
    const { labels, engine } = this
    new kind({
      name,
      help,
      labelNames: LABELS,
      registers: [this.registry],
      collect() {
        this.reset()
        this.inc(labels, value(engine.snapshot))
      },
    })
  }

  private gauges(): void {
    this.read(Gauge, 'vllm:num_requests_running', 'Sequences in the batch.', (s) => s.running)
    this.read(Gauge, 'vllm:num_requests_waiting', 'Sequences that wait.', (s) => s.waiting)
    this.read(
      Gauge,
      'vllm:kv_cache_usage_perc',
      'Part of the pool in use by sequences and their adapters, 0 to 1.',
      ({ blocks }) => {
        return (blocks.sequences + blocks.adapters - blocks.idleAdapters) / blocks.total
      },
    )
    const { blockSize, blockCount } = this.engine.info
    const info = new Gauge({
      name: 'vllm:cache_config_info',
      help: 'Block size and count of the pool.',
      labelNames: [...LABELS, 'block_size', 'num_gpu_blocks'],
      registers: [this.registry],
    })
    info.set({ ...this.labels, block_size: String(blockSize), num_gpu_blocks: String(blockCount) }, 1)
  }

  private counters(): void {
    const counter = (name: string, help: string, value: (snapshot: EngineSnapshot) => number) =>
      this.read(Counter, `${name}_total`, help, value)
    counter('vllm:prompt_tokens', 'Prompt tokens computed.', (s) => s.counters.promptTokens)
    counter('vllm:generation_tokens', 'Tokens generated.', (s) => s.counters.generationTokens)
    counter('vllm:prompt_tokens_cached', 'Prompt tokens found in the prefix cache.', (s) => s.counters.cachedTokens)
    counter('vllm:prefix_cache_queries', 'Prompt tokens looked up in the prefix cache.', (s) => s.counters.prefixQueries)
    counter('vllm:prefix_cache_hits', 'Prompt tokens found there.', (s) => s.counters.prefixHits)
    counter('vllm:num_preemptions', 'Sequences put back because the pool was short.', (s) => s.counters.preemptions)
    turnoverMetrics(this.registry, this.labels, () => this.engine.snapshot.counters)
    counter('lorikeet_prefix_evictions', 'Cached prefix blocks put out of the pool.', (s) => s.counters.prefixEvictions)
    counter('lorikeet_steps', 'Steps run.', (s) => s.counters.steps)
    counter('lorikeet_failed_steps', 'Steps that failed.', (s) => s.counters.failedSteps)
    counter('lorikeet_late_masks', 'Rows that were computed again, because their masks were late.', (s) => s.counters.lateMasks)
    counter('lorikeet_log_lines_lost', 'Lines of the log that could not be written.', () => logSink.lost)
  }

  /** Exactly one series, always: gateways take the one with the highest value. Resident adapters count as running: that gives the better affinity. */
  private adapters(): void {
    const { engine } = this
    for (const registry of [this.named, this.nameless]) {
      const names = registry === this.named ? this.names : undefined
      new Gauge({
        name: 'vllm:lora_requests_info',
        help: 'Adapters in the pool, and those that requests wait for; the value is the time in unix seconds.',
        labelNames: ['max_lora', 'running_lora_adapters', 'waiting_lora_adapters'],
        registers: [registry],
        collect() {
          this.reset()
          this.set(adapterLabels(engine, names), Date.now() / 1000)
        },
      })
    }
    this.read(Gauge, 'lorikeet_resident_adapters', 'Adapters in the pool.', (s) => s.residentAdapters)
  }

  private pool(): void {
    const { labels, engine } = this
    new Gauge({
      name: 'lorikeet_pool_blocks',
      help: "The pool's blocks by what they hold.",
      labelNames: [...LABELS, 'state'],
      registers: [this.registry],
      collect() {
        const { free, sequences, adapters, idleAdapters, cachedPrefixes } = engine.snapshot.blocks
        this.set({ ...labels, state: 'free' }, free)
        this.set({ ...labels, state: 'sequences' }, sequences)
        this.set({ ...labels, state: 'adapters' }, adapters - idleAdapters)
        this.set({ ...labels, state: 'idle_adapters' }, idleAdapters)
        this.set({ ...labels, state: 'cached_prefixes' }, cachedPrefixes)
      },
    })
    new Gauge({
      name: 'lorikeet_pool_frames',
      help: 'Frames of the blocks that adapters share.',
      labelNames: [...LABELS, 'state'],
      registers: [this.registry],
      collect() {
        const { used, free } = engine.snapshot.frames
        this.set({ ...labels, state: 'used' }, used)
        this.set({ ...labels, state: 'free' }, free)
      },
    })
    const { blockBytes, frameBytes } = engine.info
    this.read(Gauge, 'lorikeet_pool_block_bytes', 'Bytes of a block.', () => blockBytes)
    this.read(
      Gauge,
      'lorikeet_pool_frame_bytes',
      'Bytes of a frame; those of a block where blocks are not cut.',
      () => frameBytes,
    )
  }
  /** What does not change while the server runs, so that a dashboard can tell machines apart. */
  private engineInfo(quantization: string): void {
    const { device, deviceName, dtype, cacheDtype, adapterDtype } = this.engine.info
    const own = {
      device,
      device_name: deviceName,
      dtype,
      cache_dtype: cacheDtype,
      adapter_dtype: adapterDtype,
      quantization,
      version: VERSION,
    }
    const info = new Gauge({
      name: 'lorikeet_engine_info',
      help: 'What the model runs on and in; always 1.',
      labelNames: [...LABELS, ...Object.keys(own)],
      registers: [this.registry],
    })
    info.set({ ...this.labels, ...own }, 1)
  }
}
