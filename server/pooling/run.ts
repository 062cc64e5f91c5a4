/** Runs the prompts of one request on the engine for their hidden states. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { EngineError, POOLED_SAMPLING, type Pooling, type SequenceOutput } from '../../runtime/index.ts'
import { ADAPTER_HEADER, type LeasedAdapters } from '../adapter-choice.ts'
import { costOf } from '../cost.ts'
import { ApiError, engineError } from '../errors.ts'
import { type Body, priorityOf } from '../openai/parameters.ts'
import { queueTerms, tenantOf } from '../queue-terms.ts'
import type { Work, WorkTimes } from '../records/record.ts'
import { takenOf } from '../records/taken.ts'
import { noteOutput } from '../records/work-times.ts'
import { ClientLeft } from '../tokenizer/process-pool.ts'
import type { Serving, TokenIds } from '../types.ts'

export interface PooledPrompt {
  ids: TokenIds
  /** Where it stands in the body: what errors about it name. */
  field: string
}

export interface PooledRequest {
  id: string
  prompts: readonly PooledPrompt[]
  pooling: Pooling
  /** The field of which there may be too much. */
  field: string
}

/** Of an answer. */
export interface PooledUsage {
  prompt_tokens: number
  total_tokens: number
  completion_tokens: 0
}

export function usageOf(prompts: readonly PooledPrompt[]): PooledUsage {
  const tokens = prompts.reduce((sum, { ids }) => sum + ids.length, 0)
  return { prompt_tokens: tokens, total_tokens: tokens, completion_tokens: 0 }
}

/**
 * The hidden state of each prompt, in their order. At most as many are given to the engine at a time as one request may have sequences; the others follow as those end. Rejects with the first
 * failure, and with ClientLeft when the client goes; the others are aborted then.
 */
export async function poolPrompts(
  request: FastifyRequest,
  reply: FastifyReply,
  body: Body,
  adapter: LeasedAdapters,
  asked: PooledRequest,
): Promise<Float32Array[]> {
  const { serving, uses } = adapter
  const { prompts, field } = asked
  if (reply.raw.destroyed) throw new ClientLeft()
  const atOnce = serving.cost.atOnce(prompts.length)
  const cost = costOf(prompts.map(({ ids }) => ({ promptIds: ids, sampling: POOLED_SAMPLING })))
  const fields = { sequences: field, tokens: field, logprobs: field }
  // One listener for all: a response has some already, and Node warns of more than ten.
  const closed: (() => void)[] = []
  reply.raw.once('close', () => {
    for (const end of closed) end()
  })
  closed.push(serving.cost.take({ ...cost, sequences: atOnce }, fields))
  const terms = queueTerms(serving.limits, request, uses)
  const priority = priorityOf(body, serving.scheduling)
  const spent = { promptTokens: cost.tokens, completionTokens: 0 }
  adapter.place.work(atOnce, spent)
  reply.headers(adapter.headers)
  const tenant = serving.access.cacheTenant(request.caller)
  const cacheSalt = (body.cache_salt as string | null | undefined) ?? undefined
  const run = new PooledRun(adapter, asked, atOnce, { ...terms, adapters: uses, tenant, cacheSalt, priority })
  closed.push(() => run.abort(new ClientLeft()))
  if (request.record) {
    const [{ ids: promptIds }] = prompts
    request.record.take(takenOf('embeddings', adapter, { tenant: tenantOf(serving.limits, request), promptIds }))
    request.record.work = run
  }
  return run.result
}

/** What all of a request's sequences have in common. */
type Shared = Pick<
  Parameters<Serving['engine']['submit']>[0],
  'adapters' | 'tenant' | 'cacheSalt' | 'priority' | 'flow' | 'firstTokenMs'
>

class PooledRun implements Work {
  readonly counts: { promptTokens: number; completionTokens: number; cachedTokens: number }
  readonly times: WorkTimes
  readonly finishes: string[] = []
  /** By sequence: its share of steps as it was told last. */
  private readonly deviceMs: number[] = []
  readonly result: Promise<Float32Array[]>
  private readonly serving: Serving
  private readonly place: LeasedAdapters['place']
  private readonly asked: PooledRequest
  private readonly shared: Shared
  private readonly pooled: Float32Array[] = []
  private readonly open = new Set<number>()
  private readonly started = Date.now()
  private settle!: { resolve: (pooled: Float32Array[]) => void; reject: (error: Error) => void }
  private next = 0
  private ended = false

  constructor(
    { serving, place }: Pick<LeasedAdapters, 'serving' | 'place'>,
    asked: PooledRequest,
    atOnce: number,
    shared: Shared,
  ) {
    this.serving = serving
    this.place = place
    this.asked = asked
    this.shared = shared
    const promptTokens = asked.prompts.reduce((sum, { ids }) => sum + ids.length, 0)
    this.counts = { promptTokens, completionTokens: 0, cachedTokens: 0 }
    this.times = { submittedAt: this.started, deviceMs: 0 }
    this.result = new Promise((resolve, reject) => {
      this.settle = { resolve, reject }
    })
    for (let i = 0; i < atOnce && !this.ended; i++) this.submitNext()
  }

  /** Ends what still runs; nothing happens when all is over. */
  abort(error: Error): void {
    if (this.ended) return
    this.ended = true
    for (const index of this.open) {
      this.serving.engine.abort(this.idOf(index))
      this.serving.metrics.endedEarly(error instanceof ClientLeft ? 'left' : 'other_failed')
      this.count(index, 'abort')
    }
    this.open.clear()
    this.settle.reject(error)
  }

  private idOf(index: number): string {
    return `${this.asked.id}-${index}`
  }

  private submitNext(): void {
    const { prompts, pooling } = this.asked
    if (this.next === prompts.length) return
    const index = this.next++
    const { ids } = prompts[index]
    try {
      const own = { id: this.idOf(index), promptIds: ids, sampling: POOLED_SAMPLING, pooling }
      const sequence = { ...this.shared, ...own, tellStart: this.place.bounded }
      this.serving.engine.submit({ ...sequence, arrival: this.started }, (output) => this.receive(index, output))
      this.open.add(index)
    } catch (error) {
      this.abort(error instanceof EngineError ? this.failure(index, error.code, error.message) : (error as Error))
    }
  }

  private receive(index: number, output: SequenceOutput): void {
    const { finish, pooled, error, scheduledAt, cachedTokens = 0 } = output
    this.deviceMs[index] = noteOutput(this.times, output, this.deviceMs[index] ?? 0)
    this.counts.cachedTokens += cachedTokens
    if (scheduledAt !== undefined) this.place.begun()
    if (!finish || !this.open.delete(index)) return
    if (!pooled) {
      this.count(index, finish === 'abort' ? 'abort' : 'error')
      const { code, message, retryAfter } = error ?? { code: 'aborted', message: 'the request was aborted' }
      this.abort(this.failure(index, code, message, retryAfter))
      return
    }
    this.count(index, 'stop', scheduledAt)
    this.pooled[index] = pooled
    this.submitNext()
    if (this.open.size > 0 || this.ended) return
    this.ended = true
    this.settle.resolve(this.pooled)
  }

  private failure(index: number, code: string, message: string, retryAfter?: number): ApiError {
    if (code === 'non_finite_logits' && this.shared.adapters.some(({ weight }) => weight !== 1))
      return new ApiError(
        'invalid_request',
        `${ADAPTER_HEADER}: with these weights (w) the model computes no finite numbers; give smaller ones`,
        ADAPTER_HEADER,
      )
    return engineError(code, message, this.asked.prompts[index].field, retryAfter)
  }

  private count(index: number, finishReason: 'stop' | 'abort' | 'error', scheduledAt?: number): void {
    this.finishes.push(finishReason)
    const now = Date.now()
    const seconds = (from: number, to: number) => Math.max(0, to - from) / 1000
    this.serving.metrics.finished({
      finishReason,
      promptTokens: this.asked.prompts[index].ids.length,
      generationTokens: 0,
      maxTokens: 0,
      e2e: seconds(this.started, now),
      ...(scheduledAt !== undefined && {
        queue: seconds(this.started, scheduledAt),
        prefill: seconds(scheduledAt, now),
        inference: seconds(scheduledAt, now),
      }),
    })
  }
}
