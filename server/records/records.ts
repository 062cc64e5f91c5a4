/** The records of requests: begun with each, told when it is over. */
import type { FastifyBaseLogger } from 'fastify'
import type { Config } from '../config/settings.ts'
import { lineOf } from './line.ts'
import { type Kept, type Origin, RequestRecord } from './record.ts'

/** How long an answer lasts: a FastifyReply, or what stands for one (client-left.ts). */
interface Life {
  raw: { readonly destroyed: boolean; once(event: 'close', listener: () => void): unknown }
}

export type RecordSettings = Partial<Pick<Config, 'enableLogRequests' | 'enableLogOutputs' | 'maxLogLen'>>

/** Told of each request that is over; what it throws is the log's. */
export type OnEnd = (record: RequestRecord) => void

const NOTHING: Kept = { prompt: 0, output: 0 }

export class Records {
  private readonly log: FastifyBaseLogger
  /** Whether a line is written at all. */
  private readonly logs: boolean
  private readonly kept: Kept
  private readonly listeners: OnEnd[] = []

  constructor(
    log: FastifyBaseLogger,
    { enableLogRequests = false, enableLogOutputs = false, maxLogLen = 0 }: RecordSettings = {},
  ) {
    const enabled = (level: 'info' | 'debug') => (log as FastifyBaseLogger & Levels).isLevelEnabled(level)
    // Asked for by name, the lines come whatever the level is.
    this.log = enableLogRequests && !enabled('info') ? log.child({}, { level: 'info' }) : log
    this.logs = enableLogRequests || enabled('info')
    this.kept = enableLogRequests
      ? { prompt: enabled('debug') ? maxLogLen : 0, output: enableLogOutputs ? maxLogLen : 0 }
      : NOTHING
  }

  /** In the order in which they were added, all before the log. */
  onEnd(listener: OnEnd): void {
    this.listeners.push(listener)
  }

  /** A record that ends with `life`, unless it outlives it (`endsWith`). */
  begin(origin: Origin, life: Life): RequestRecord {
    const record = new RequestRecord(origin, this.kept)
    this.endsWith(record, life)
    return record
  }

  /** Has the record end with `life` instead: what goes on when its request has been answered. */
  endsWith(record: RequestRecord, life: Life): void {
    this.lives.set(record, life)
    if (life.raw.destroyed) this.close(record, life)
    else life.raw.once('close', () => this.close(record, life))
  }

  private readonly lives = new WeakMap<RequestRecord, Life>()

  private close(record: RequestRecord, life: Life): void {
    // Others who wait for the close write into it still.
    setImmediate(() => {
      if (this.lives.get(record) === life) this.end(record, life)
    })
  }

  private end(record: RequestRecord, { raw }: Life): void {
    this.lives.delete(record)
    const { writableFinished, statusCode } = raw as Partial<Response>
    if (!record.origin.socket) record.status ??= record.error?.status ?? statusCode
    record.left = writableFinished === false || (record.work?.finishes.includes('abort') ?? false)
    record.end()
    for (const listener of this.listeners)
      try {
        listener(record)
      } catch (error) {
        this.log.error({ err: error }, 'the record of a request could not be told')
      }
    if (this.logs) this.log.info(lineOf(record), `request ${record.outcome}`)
  }
}

/** Of a ServerResponse. */
interface Response {
  writableFinished: boolean
  statusCode: number
}

interface Levels {
  isLevelEnabled(level: string): boolean
}
