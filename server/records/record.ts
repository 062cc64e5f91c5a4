/** What became of one request: gathered while it runs, and handed to whoever tells of it (the log, traces, metrics) once it is over. */
import type { AdapterUse, SequenceRequest } from '../../runtime/index.ts'
import type { ApiError } from '../errors.ts'
import { parentOf, type TraceContext } from './trace-context.ts'

type TokenIds = SequenceRequest['promptIds']

/** From, to: milliseconds since epoch. */
export interface Span {
  from: number
  to: number
}

/** When the sequences of a request came how far: milliseconds since epoch. */
export interface WorkTimes {
  submittedAt: number
  /** The first of them had its first step planned; absent: none had. */
  scheduledAt?: number
  firstTokenAt?: number
  /** The last output came. */
  lastAt?: number
  /** Its adapters were brought into the pool while it was there. */
  load?: Span
  /** Milliseconds of steps, by its tokens' part of those that each step computed. */
  deviceMs: number
}

/** What a request has the engine do. */
export interface Work {
  readonly counts: { readonly promptTokens: number; readonly completionTokens: number; readonly cachedTokens: number }
  readonly times: WorkTimes
  /** Of each sequence that has ended. */
  readonly finishes: readonly string[]
}

/** What is known once it is known by what a request is served. */
export interface Taken {
  kind: 'chat' | 'text_completion' | 'embeddings'
  /** As the answer names it. */
  model: string
  base: string
  uses: readonly AdapterUse[]
  tenant: string | undefined
  /** Adapters were read into host memory for it. */
  read?: Span
  /** As far as it is known: of the first sequence. */
  sampling?: { maxTokens: number; temperature: number; topP: number }
  /** Of the first sequence. */
  promptIds?: TokenIds
  /** Reads it. */
  decode?: (ids: TokenIds) => string
}

/** Whose it is, and how it came. */
export interface Origin {
  id: string
  /** `POST` */
  method: string
  /** The route's path: `/v1/chat/completions`. */
  route: string
  headers: Readonly<Record<string, string | string[] | undefined>>
  /** A turn of a WebSocket, which has no status of its own. */
  socket?: true
}

/** What is kept of its texts, in characters; 0: nothing. */
export interface Kept {
  prompt: number
  output: number
}

export class RequestRecord {
  readonly origin: Origin
  readonly startedAt = Date.now()
  /** Since it is there; exact where clocks are set. */
  private readonly since = performance.now()
  endedAt = 0
  ms = 0
  /** What it came under, in a trace of the client's. */
  readonly parent: TraceContext | undefined
  /** Its own spans, once somebody has made them. */
  trace: { traceId: string; spanId: string } | undefined
  taken: Taken | undefined
  work: Work | undefined
  error: ApiError | undefined
  status: number | undefined
  /** Nobody waited for its end. */
  left = false
  prompt: string | undefined
  readonly outputs: string[] = []
  private readonly kept: Kept

  constructor(origin: Origin, kept: Kept) {
    this.origin = origin
    this.kept = kept
    this.parent = parentOf(origin.headers)
  }

  /** It is known by what it is served. */
  take(taken: Taken): void {
    this.taken = taken
    const { promptIds, decode } = taken
    // A token is one character at least, so more of them are not needed; a whole prompt could hold the thread.
    if (this.kept.prompt > 0 && promptIds && decode)
      this.prompt = decode(promptIds.slice(0, this.kept.prompt)).slice(0, this.kept.prompt)
  }

  get keepsOutputs(): boolean {
    return this.kept.output > 0
  }

  /** A piece of the text of choice `index`. */
  output(index: number, text: string): void {
    const room = this.kept.output - (this.outputs[index]?.length ?? 0)
    if (room > 0) this.outputs[index] = (this.outputs[index] ?? '') + text.slice(0, room)
  }

  /** It failed, or was refused; the first reason stays. */
  fail(error: ApiError): void {
    this.error ??= error
  }

  end(): void {
    this.ms = performance.now() - this.since
    this.endedAt = this.startedAt + this.ms
  }

  /** What an operator wants to know first. */
  get outcome(): 'done' | 'left' | 'refused' | 'failed' {
    if (this.error) return this.error.status < 500 ? 'refused' : 'failed'
    return this.left ? 'left' : 'done'
  }

  /** Milliseconds from its arrival. Absent: it did not come so far. */
  get waits(): { queueMs?: number; loadMs?: number; firstTokenMs?: number } {
    const { times } = this.work ?? {}
    if (!times) return {}
    const { submittedAt, scheduledAt, firstTokenAt, load } = times
    return {
      ...(scheduledAt !== undefined && { queueMs: Math.max(0, scheduledAt - submittedAt) }),
      ...(load && { loadMs: Math.max(0, load.to - load.from) }),
      ...(firstTokenAt !== undefined && { firstTokenMs: Math.max(0, firstTokenAt - this.startedAt) }),
    }
  }
}
