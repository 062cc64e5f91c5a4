/** What whoever is limited (a key, a tenant, an adapter) has in flight, has waiting and has spent, against what it may. */
import { ApiError, type Limit, limitReached } from '../errors.ts'
import type { KeyEntry } from './key.ts'

/** Absent: no limit. */
export type QuotaLimits = Pick<KeyEntry, 'maxRequests' | 'maxSequences' | 'tokensPerMinute' | 'maxQueued'>

/** How errors speak of it. */
export interface Whose {
  of: Limit['of']
  /** With which a sentence begins. */
  who: string
  /** What its limits are called. */
  names: Record<Exclude<keyof QuotaLimits, 'maxSequences'>, string>
}

const KEY: Whose = {
  of: 'key',
  who: 'this key',
  names: { maxRequests: 'max-concurrent-requests', tokensPerMinute: 'tokens-per-minute', maxQueued: 'max-queued-requests' },
}
/** Only keys have it. */
const MAX_SEQUENCES = 'max-sequences-in-flight'

/** Tokens of a request so far; they rise while it runs. */
export interface Spent {
  promptTokens: number
  completionTokens: number
}

const MINUTE = 60_000

/**
 * Tokens are a bucket that a minute fills: a request is let in while something is in it, and takes what it turns out to cost, so that no answer is cut for it and nobody must
 * guess its length. It can run into debt by what is in flight together; the next request waits until that is paid.
 */
export class Quota {
  private limits: QuotaLimits
  private readonly whose: Whose
  private requests = 0
  private sequences = 0
  /** Requests that have not had their first step. */
  private waiting = 0
  /** Tokens in the bucket at `at`, without those of `open`. */
  private left: number
  private at: number
  private readonly open = new Set<Spent>()
  private readonly now: () => number

  constructor(limits: QuotaLimits, now = () => performance.now(), whose = KEY) {
    this.limits = limits
    this.now = now
    this.whose = whose
    this.left = limits.tokensPerMinute ?? 0
    this.at = now()
  }

  /** Other limits from now on; what is in flight and spent stays. */
  change(limits: QuotaLimits): void {
    this.refill()
    // One that had no limit has a full bucket.
    if (this.limits.tokensPerMinute === undefined) this.left = limits.tokensPerMinute ?? 0
    this.limits = limits
  }

  /** Whether its requests are told of when they no longer wait. */
  get boundsQueue(): boolean {
    return this.limits.maxQueued !== undefined
  }

  get inFlight(): number {
    return this.requests
  }

  /** Nothing is in flight and the bucket is full: another one in its place would be the same. */
  get atRest(): boolean {
    this.refill()
    const { tokensPerMinute } = this.limits
    const full = tokensPerMinute === undefined || this.left >= tokensPerMinute
    return full && this.requests === 0 && this.waiting === 0 && this.open.size === 0
  }

  /** Throws what stands against one more request. */
  requireRequest(): void {
    const { maxRequests } = this.limits
    if (maxRequests !== undefined && this.requests >= maxRequests)
      throw this.refusal(
        'maxRequests',
        (name) => `has ${maxRequests} requests in flight, which is its limit (${name}); try again when one is done`,
      )
  }

  /** Throws what stands against one more request that generates: its queue is full, or its tokens are used up. */
  requireTurn(): void {
    const { maxQueued } = this.limits
    if (maxQueued !== undefined && this.waiting >= maxQueued)
      throw this.refusal(
        'maxQueued',
        (name) => `has ${maxQueued} requests waiting, which is its limit (${name}); try again when one has begun`,
      )
    this.checkTokens()
  }

  /** Counts a request in; what is returned, called once, counts it out. */
  enter(): () => void {
    this.requireRequest()
    this.requests++
    return () => this.requests--
  }

  /** Counts a request in that waits for its first step. What is returned, called once, says that it has had it. */
  wait(): () => void {
    this.waiting++
    return () => this.waiting--
  }

  /** Counts a request's work in: its sequences, and its tokens as they come. What is returned, called once, counts the sequences out. */
  work(sequences: number, spent: Spent): () => void {
    const { maxSequences = Number.POSITIVE_INFINITY } = this.limits
    const { of, who } = this.whose
    if (sequences > maxSequences)
      throw new ApiError(
        'invalid_request',
        `this request has ${sequences} sequences (prompts times n), and ${who} is given ${maxSequences} at most (${MAX_SEQUENCES}); send fewer prompts or a smaller n`,
        'n',
      )
    if (this.sequences + sequences > maxSequences)
      throw limitReached(
        { of, name: MAX_SEQUENCES, value: maxSequences },
        `${who} has ${this.sequences} of its ${maxSequences} sequences in flight (${MAX_SEQUENCES}), and this request would bring ${sequences} more; try again when one is done`,
      )
    this.checkTokens()
    this.sequences += sequences
    this.open.add(spent)
    return () => {
      this.sequences -= sequences
      this.refill()
      this.open.delete(spent)
      this.left -= total(spent)
    }
  }

  private checkTokens(): void {
    const { tokensPerMinute } = this.limits
    if (tokensPerMinute === undefined) return
    this.refill()
    let left = this.left
    for (const spent of this.open) left -= total(spent)
    if (left > 0) return
    const seconds = Math.ceil((1 - left) / (tokensPerMinute / 60))
    throw this.refusal('tokensPerMinute', (name) => `has used up its ${tokensPerMinute} tokens a minute (${name})`, seconds)
  }

  private refusal(limit: keyof Whose['names'], what: (name: string) => string, retryAfter?: number): ApiError {
    const { of, who, names } = this.whose
    const name = names[limit]
    return limitReached({ of, name, value: this.limits[limit] as number }, `${who} ${what(name)}`, retryAfter)
  }

  private refill(): void {
    const now = this.now()
    const { tokensPerMinute = 0 } = this.limits
    this.left = Math.min(tokensPerMinute, this.left + ((now - this.at) / MINUTE) * tokensPerMinute)
    this.at = now
  }
}

const total = ({ promptTokens, completionTokens }: Spent) => promptTokens + completionTokens
