/** What the rest of the server knows of traces: no OpenTelemetry, which is loaded only where it is used. */
import type { RequestRecord } from '../records/record.ts'

/** Spans so far. Those that are neither sent nor failed wait, or were dropped since too many waited. */
export interface SpanCounts {
  made: number
  sent: number
  failed: number
}

export interface Traces {
  readonly counts: SpanCounts
  /** Makes the spans of a request that is over, and notes in its record which trace they are in. */
  readonly tell: (record: RequestRecord) => void
  /** Sends what waits, within two seconds. */
  close(): Promise<void>
}

export const NO_SPANS: SpanCounts = { made: 0, sent: 0, failed: 0 }
