/**
 * Spans of requests, sent by OTLP over HTTP. This file, and OpenTelemetry with it, is loaded where there is a collector to send to, and nowhere else. A request's spans are made from its record once
 * it is over: nothing of them is in the way while it runs.
 */
import {
  type Attributes,
  type Context,
  createTraceState,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto'
import { detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources'
import { BasicTracerProvider, BatchSpanProcessor, type SpanExporter } from '@opentelemetry/sdk-trace-node'
import type { RequestRecord } from '../records/record.ts'
import { VERSION } from '../version.ts'
import { genAiAttributes, httpAttributes } from './attributes.ts'
import type { SpanCounts, Traces } from './traces-types.ts'

/** Spans that are sent at a time, unless OTEL_BSP_MAX_EXPORT_BATCH_SIZE says otherwise: they are written on the main thread, and 512, the SDK's own number, would hold it four times as long. */
const BATCH = 128
/** Milliseconds for the last spans when the server closes: a collector that does not answer must not hold it. */
const LAST_SPANS = 2000
/** Milliseconds between two warnings of the same. */
const WARN_EVERY = 60_000

/** Seconds and nanoseconds: numbers alone would be read as times since the process began. */
const at = (ms: number): [number, number] => [Math.floor(ms / 1000), Math.round((ms % 1000) * 1e6)]

export class OtlpTraces implements Traces {
  readonly counts: SpanCounts = { made: 0, sent: 0, failed: 0 }
  private readonly provider: BasicTracerProvider
  private readonly tracer: Tracer

  constructor(url: string, warn: (message: string) => void) {
    const exporter = this.counted(new OTLPTraceExporter({ url }), url, warn)
    const own = process.env.OTEL_BSP_MAX_EXPORT_BATCH_SIZE ? {} : { maxExportBatchSize: BATCH }
    // What the environment says of the service goes before what we say of it.
    const resource = resourceFromAttributes({ 'service.name': 'lorikeet', 'service.version': VERSION }).merge(
      detectResources({ detectors: [envDetector] }),
    )
    this.provider = new BasicTracerProvider({ resource, spanProcessors: [new BatchSpanProcessor(exporter, own)] })
    this.tracer = this.provider.getTracer('lorikeet', VERSION)
  }

  readonly tell = (record: RequestRecord): void => {
    const { origin, startedAt, endedAt, error, taken, work } = record
    const server = this.span(`${origin.method} ${origin.route}`, parentOf(record), startedAt, endedAt, {
      kind: SpanKind.SERVER,
      attributes: httpAttributes(record),
      // A client's mistake is none of the server's (the conventions for HTTP).
      failed: error && error.status >= 500 ? error.code : undefined,
    })
    const { traceId, spanId } = server.span
    record.trace = { traceId, spanId }
    if (!server.recording || !taken) return
    const { context } = this.span(`${taken.kind} ${taken.model}`, server.context, startedAt, endedAt, {
      kind: SpanKind.INTERNAL,
      attributes: genAiAttributes(record),
      failed: error?.code,
    })
    const phase = (name: string, from: number | undefined, to: number | undefined, attributes: Attributes = {}) => {
      if (from !== undefined && to !== undefined) this.span(name, context, from, Math.max(from, to), { attributes })
    }
    const adapters = {
      'lorikeet.adapters': taken.uses.map(({ name }) => name),
      'lorikeet.digests': taken.uses.map(({ digest }) => digest),
    }
    phase('adapter read', taken.read?.from, taken.read?.to, adapters)
    if (!work) return
    const { submittedAt, scheduledAt, firstTokenAt, lastAt, load } = work.times
    const { promptTokens, cachedTokens, completionTokens } = work.counts
    phase('queue', submittedAt, scheduledAt ?? endedAt)
    // It may have begun for another request.
    phase('adapter load', load && Math.max(load.from, submittedAt), load?.to, adapters)
    phase('prefill', scheduledAt, firstTokenAt ?? lastAt, {
      'lorikeet.prompt_tokens': promptTokens,
      'lorikeet.cached_tokens': cachedTokens,
    })
    phase('decode', firstTokenAt, lastAt, { 'lorikeet.completion_tokens': completionTokens })
  }

  async close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, LAST_SPANS)
    })
    await Promise.race([this.provider.shutdown().catch(() => undefined), late])
    clearTimeout(timer)
  }

  private span(
    name: string,
    parent: Context,
    from: number,
    to: number,
    { kind = SpanKind.INTERNAL, attributes, failed }: { kind?: SpanKind; attributes: Attributes; failed?: string },
  ) {
    const span = this.tracer.startSpan(name, { kind, startTime: at(from), attributes }, parent)
    const recording = span.isRecording()
    if (failed !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: failed })
    span.end(at(to))
    if (recording) this.counts.made++
    return { span: span.spanContext(), recording, context: trace.setSpan(parent, span) }
  }

  private counted(exporter: OTLPTraceExporter, url: string, warn: (message: string) => void): SpanExporter {
    let warnedAt = Number.NEGATIVE_INFINITY
    return {
      export: (spans, done) =>
        exporter.export(spans, (result) => {
          // 0 is success.
          this.counts[result.code === 0 ? 'sent' : 'failed'] += spans.length
          if (result.code !== 0 && performance.now() - warnedAt > WARN_EVERY) {
            warnedAt = performance.now()
            warn(
              `traces could not be sent to ${url}: ${result.error?.message ?? 'the collector did not take them'} (told once a minute at most)`,
            )
          }
          done(result)
        }),
      forceFlush: () => exporter.forceFlush(),
      shutdown: () => exporter.shutdown(),
    }
  }
}

/** The trace that a request belongs to, if it brought one. */
function parentOf({ parent }: RequestRecord): Context {
  if (!parent) return ROOT_CONTEXT
  const { traceId, spanId, sampled, state } = parent
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: sampled ? TraceFlags.SAMPLED : TraceFlags.NONE,
    traceState: state === undefined ? undefined : createTraceState(state),
    isRemote: true,
  })
}
