/** What has become of the spans of requests. */
import { Counter, type Registry } from 'prom-client'
import type { SpanCounts } from '../tracing/traces-types.ts'

export function spanMetrics(register: Registry, labels: Record<string, string>, counts: () => Readonly<SpanCounts>): void {
  new Counter({
    name: 'lorikeet_trace_spans_total',
    help: 'Spans of requests: made, sent to the collector, and those that it could not be told.',
    labelNames: [...Object.keys(labels), 'outcome'],
    registers: [register],
    collect() {
      this.reset()
      for (const [outcome, count] of Object.entries(counts())) this.inc({ ...labels, outcome }, count)
    },
  })
}
