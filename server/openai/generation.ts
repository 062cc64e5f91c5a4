/** Runs the choices of one request on the engine and hands out their text: detokenized, cut at stop strings, with logprobs and times. */
import {
  type AdapterUse,
  EngineError,
  type FinishReason,
  type LogprobRows,
  type SamplingParams,
  type SequenceOutput,
  type SequenceRequest,
} from '../../runtime/index.ts'
import { ADAPTER_HEADER } from '../adapter-choice.ts'
import { ApiError, engineError } from '../errors.ts'
import type { Work, WorkTimes } from '../records/record.ts'
import { noteOutput } from '../records/work-times.ts'
import type { Constraint } from '../structured/constraint.ts'
import type { Detokenizer, EarlyEnd, Serving, TokenIds } from '../types.ts'
import { LogprobList } from './logprob-list.ts'
import { type Scored, scoredOnce } from './scored-once.ts'
import { StopAutomaton, StopStrings } from './stop-strings.ts'

export interface ChoiceRequest {
  promptIds: TokenIds
  /** The text goes on with the prompt's: a space at its beginning is one. */
  continues: boolean
  sampling: SamplingParams
}

export interface GenerationRequest {
  id: string
  choices: ChoiceRequest[]
  adapters: AdapterUse[]
  /** Where the prompt stood in the body: what errors about it name. */
  promptField: 'prompt' | 'messages'
  stop: string[]
  includeStop: boolean
  skipSpecialTokens: boolean
  /** Special tokens that stay in the text all the same. */
  keepTokens?: readonly string[]
  /** What each answer must be; absent: any text. */
  structured?: Constraint
  /** Where it stood in the body: what errors about it name. */
  structuredField?: string
  cacheSalt?: string
  /** Among whose prompts its own may be found again. */
  tenant?: string
  /** See SequenceRequest. */
  flow?: string
  firstTokenMs?: number
  priority?: number
  /** Told when the first of its sequences has been taken up, at once if it is `bounded`. */
  place?: { readonly bounded: boolean; begun(): void }
  /** The same as a grammar, once it is one (turn.ts). */
  constraint?: SequenceRequest['constraint']
}

/** What one engine output brought for a choice. */
export interface Piece {
  /** The choice's first. */
  first: boolean
  text: string
  tokens: number[]
  /** Of `tokens`, when asked for. */
  logprobs?: LogprobRows
  /** With a choice's first piece, when asked for: of its prompt's tokens but the first. */
  promptLogprobs?: LogprobList
  finish?: 'stop' | 'length'
  /** vLLM's stop_reason: the stop string or token that ended it, null for the model's own end; pool_exhausted with `length`: docs/scheduler.md. */
  stopReason?: string | number | null
}

/** Told what came of a choice. True: it has all that it may have, and ends here. */
export type OnPiece = (choice: number, piece: Piece) => boolean

export interface Counts {
  promptTokens: number
  completionTokens: number
  cachedTokens: number
}

interface Choice {
  id: string
  request: Scored<ChoiceRequest>
  detokenizer: Detokenizer
  stop: StopStrings
  tokens: number
  cachedTokens: number
  /** Logprobs of its prompt, as far as they have come; the same list for all that one choice is scored for. */
  scored?: LogprobList
  /** Choices that it is scored for too: they begin once it is. */
  others: number[]
  begun: boolean
  open: boolean
  firstAt?: number
  lastAt: number
  scheduledAt?: number
  deviceMs: number
}

export class Generation implements Work {
  /** Of each choice that has ended. */
  readonly finishes: FinishReason[] = []
  readonly times: WorkTimes
  readonly counts: Counts = { promptTokens: 0, completionTokens: 0, cachedTokens: 0 }
  private readonly serving: Serving
  private readonly request: GenerationRequest
  private readonly requests: Scored<ChoiceRequest>[]
  private readonly choices: Choice[] = []
  private readonly started = Date.now()
  private readonly onPiece: OnPiece
  private settle: { resolve: () => void; reject: (error: Error) => void } | undefined
  private openChoices = 0
  private ended = false

  constructor(serving: Serving, request: GenerationRequest, onPiece: OnPiece) {
    this.serving = serving
    this.request = request
    this.requests = scoredOnce(request.choices)
    this.onPiece = onPiece
    this.times = { submittedAt: this.started, deviceMs: 0 }
  }

  /** Submits every choice; resolves when all have ended, rejects with the first failure (the others are aborted). Throws at once what can never run. */
  run(): Promise<void> {
    const { tokenizer } = this.serving
    const { request } = this
    const stops = new StopAutomaton(request.stop)
    const done = new Promise<void>((resolve, reject) => {
      this.settle = { resolve, reject }
    })
    try {
      for (const [index, one] of this.requests.entries()) {
        const choice: Choice = {
          id: `${request.id}-${index}`,
          request: one,
          detokenizer: tokenizer.detokenizer({
            skipSpecialTokens: request.skipSpecialTokens,
            continues: one.continues,
            keep: request.keepTokens,
          }),
          stop: new StopStrings(stops, request.includeStop),
          tokens: 0,
          cachedTokens: 0,
          scored: this.scoredFor(one),
          others: [],
          begun: false,
          open: true,
          lastAt: this.started,
          deviceMs: 0,
        }
        if (one.scoredBy === undefined) this.submit(index, choice)
        else this.choices[one.scoredBy].others.push(index)
        this.choices.push(choice)
        this.openChoices++
      }
    } catch (error) {
      this.abort('other_failed')
      throw this.known(error)
    }
    return done
  }

  private submit(index: number, { id, request: { promptIds, sampling } }: Choice): void {
    const { adapters, cacheSalt, tenant, priority, flow, place, constraint } = this.request
    const tellStart = place?.bounded
    // The first choice is admitted before the others, and once it is the request is served: one of them that was refused later would end a stream that has begun.
    const firstTokenMs = index === 0 ? this.request.firstTokenMs : undefined
    this.serving.engine.submit(
      {
        id,
        promptIds,
        sampling,
        adapters,
        cacheSalt,
        tenant,
        priority,
        flow,
        firstTokenMs,
        tellStart,
        constraint,
        arrival: this.started,
      },
      (output) => this.guard(index, output),
    )
  }

  private scoredFor({ scoredBy, sampling }: Scored<ChoiceRequest>): LogprobList | undefined {
    if (scoredBy !== undefined) return this.choices[scoredBy].scored
    return sampling.promptLogprobs < 0 ? undefined : new LogprobList()
  }

  /** Ends what still runs; nothing more is handed out. */
  abort(why: EarlyEnd = 'left'): void {
    if (this.ended) return
    this.ended = true
    for (const choice of this.choices) if (choice.open) this.close(choice, 'abort', why)
    this.settle?.resolve()
  }

  /** Of one choice so far. */
  countsOf(index: number): Counts {
    const { request, tokens, cachedTokens } = this.choices[index]
    return { promptTokens: request.promptIds.length, completionTokens: tokens, cachedTokens }
  }

  /** Milliseconds of one choice so far: until it was taken up, and since. */
  timesOf(index: number): { queue: number; inference: number } {
    const { scheduledAt = this.started } = this.choices[index]
    return { queue: Math.max(0, scheduledAt - this.started), inference: Math.max(0, Date.now() - scheduledAt) }
  }

  /** An exception would otherwise be the engine client's, and end every request of the process. */
  private guard(index: number, output: SequenceOutput): void {
    try {
      this.receive(index, output)
    } catch (error) {
      this.settle?.reject(this.known(error))
      this.abort('other_failed')
    }
  }

  private receive(index: number, output: SequenceOutput): void {
    const choice = this.choices[index]
    if (this.ended || !choice.open) return
    this.time(choice, output)
    if (output.finish === 'error' || output.finish === 'abort') {
      this.close(choice, output.finish)
      const { code, message, retryAfter } = output.error ?? { code: 'aborted', message: 'the request was aborted' }
      this.ended = true
      for (const other of this.choices) if (other.open) this.close(other, 'abort', 'other_failed')
      this.settle?.reject(this.failure(code, message, retryAfter))
      return
    }
    if (output.promptLogprobs) choice.scored?.append(output.promptLogprobs)
    // A prompt that is scored tells of each chunk; its answer begins with the first token.
    if (output.tokens.length === 0 && !output.finish) return
    for (const one of tokenByToken(output)) if (choice.open) this.told(index, choice, one)
  }

  private told(index: number, choice: Choice, output: SequenceOutput): void {
    choice.tokens += output.tokens.length
    this.counts.completionTokens += output.tokens.length
    const piece = this.pieceOf(choice, output)
    const finish = piece.finish
    if (finish) this.close(choice, finish, output.finish ? undefined : 'stop_string')
    const enough = this.onPiece(index, piece) && !finish && !this.ended
    if (enough) {
      this.close(choice, 'stop', 'one_call')
      this.onPiece(index, { first: false, text: '', tokens: [], finish: 'stop', stopReason: null })
    }
    if (!this.ended) for (const other of choice.others.splice(0)) this.submit(other, this.choices[other])
    if ((finish || enough) && this.openChoices === 0) {
      this.ended = true
      this.settle?.resolve()
    }
  }

  private pieceOf(choice: Choice, output: SequenceOutput): Piece {
    const { sampling } = choice.request
    const piece: Piece = {
      first: !choice.begun,
      text: '',
      tokens: output.tokens,
      logprobs: output.logprobs,
      promptLogprobs: choice.begun ? undefined : choice.scored,
    }
    choice.begun = true
    // The token that ended the sequence is no part of the text unless that is asked for.
    const hidden = output.stopToken !== undefined && !this.request.includeStop ? 1 : 0
    let text = choice.detokenizer.push(hidden === 0 ? output.tokens : output.tokens.slice(0, -1))
    if (output.finish) text += choice.detokenizer.flush()
    // Stop strings count from min_tokens on, like stop tokens.
    const matched = choice.tokens >= sampling.minTokens ? choice.stop.push(text) : { text: choice.stop.flush() + text }
    piece.text = matched.text
    if ('stop' in matched && matched.stop !== undefined) return { ...piece, finish: 'stop', stopReason: matched.stop }
    if (!output.finish) return piece
    piece.text += choice.stop.flush()
    piece.finish = output.finish as 'stop' | 'length'
    const own = output.stopToken === undefined || (!sampling.ignoreEos && sampling.eosTokenIds.includes(output.stopToken))
    piece.stopReason = output.stopReason ?? (own ? null : output.stopToken)
    return piece
  }

  private known(error: unknown): Error {
    return error instanceof EngineError ? this.failure(error.code, error.message) : (error as Error)
  }

  /** Adapters whose weights overflow are the client's doing if it gave the weights. */
  private failure(code: string, message: string, retryAfter?: number): ApiError {
    const { adapters, promptField } = this.request
    if (code === 'non_finite_logits' && adapters.some(({ weight }) => weight !== 1))
      return new ApiError(
        'invalid_request',
        `${ADAPTER_HEADER}: with these weights (w) the model computes no finite numbers; give smaller ones`,
        ADAPTER_HEADER,
      )
    if (code === 'constraint_unsatisfiable') return new ApiError('invalid_request', message, this.request.structuredField ?? null)
    return engineError(code, message, promptField, retryAfter)
  }

  private time(choice: Choice, output: SequenceOutput): void {
    if (output.scheduledAt !== undefined) this.request.place?.begun()
    choice.deviceMs = noteOutput(this.times, output, choice.deviceMs)
    if (output.cachedTokens !== undefined) {
      choice.cachedTokens = output.cachedTokens
      this.counts.cachedTokens += output.cachedTokens
    }
    choice.scheduledAt ??= output.scheduledAt
    if (output.tokens.length > 0) {
      const now = Date.now()
      if (choice.firstAt === undefined) {
        choice.firstAt = now
        this.serving.metrics.firstToken((now - this.started) / 1000)
      } else {
        this.serving.metrics.interToken((now - choice.lastAt) / 1000)
      }
      choice.lastAt = now
    }
  }

  /** `early`: why the engine is to end it, if it has not. */
  private close(choice: Choice, finishReason: FinishReason, early?: EarlyEnd): void {
    choice.open = false
    this.openChoices--
    this.finishes.push(finishReason)
    if (early) {
      this.serving.engine.abort(choice.id)
      this.serving.metrics.endedEarly(early)
    }
    const now = Date.now()
    const seconds = (from: number | undefined, to: number | undefined) =>
      from === undefined || to === undefined ? undefined : Math.max(0, to - from) / 1000
    const decode = seconds(choice.firstAt, now)
    this.serving.metrics.finished({
      finishReason,
      promptTokens: choice.request.promptIds.length,
      generationTokens: choice.tokens,
      maxTokens: choice.request.sampling.maxTokens,
      e2e: (now - this.started) / 1000,
      queue: seconds(this.started, choice.scheduledAt),
      prefill: seconds(choice.scheduledAt, choice.firstAt),
      decode,
      inference: seconds(choice.scheduledAt, now),
      timePerOutputToken: decode !== undefined && choice.tokens > 1 ? decode / (choice.tokens - 1) : undefined,
    })
  }
}

/** Several tokens of a step (docs/speculation.md) as if they had come one by one: the answer may end with any of them, and min_tokens is counted by each. */
function tokenByToken(output: SequenceOutput): SequenceOutput[] {
  const { id, tokens, logprobs } = output
  if (tokens.length < 2) return [output]
  const last = tokens.length - 1
  return tokens.map((token, i) => ({
    ...(i === last ? output : { id }),
    tokens: [token],
    logprobs: logprobs && { of: logprobs.of, from: logprobs.from + i, to: logprobs.from + i + 1 },
  }))
}
