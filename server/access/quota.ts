/** What a key has in flight and has spent, against what it may. */
import { ApiError } from '../errors.ts'
import type { KeyEntry } from './key.ts'

type Limits = Pick<KeyEntry, 'maxRequests' | 'maxSequences' | 'tokensPerMinute'>

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
  private limits: Limits
  private requests = 0
  private sequences = 0
  /** Tokens in the bucket at `at`, without those of `open`. */
  private left: number
  private at: number
  private readonly open = new Set<Spent>()
  private readonly now: () => number

  constructor(limits: Limits, now = () => performance.now()) {
    this.limits = limits
    this.now = now
    this.left = limits.tokensPerMinute ?? 0
    this.at = now()
  }

  /** The entry has changed; what is in flight and spent stays. */
  change(limits: Limits): void {
    this.refill()
    // One that had no limit has a full bucket.
    if (this.limits.tokensPerMinute === undefined) this.left = limits.tokensPerMinute ?? 0
    this.limits = limits
  }

  /** Counts a request in; what is returned, called once, counts it out. */
  enter(): () => void {
    const { maxRequests } = this.limits
    if (maxRequests !== undefined && this.requests >= maxRequests)
      throw new ApiError(
        'too_many_requests',
        `this key has ${maxRequests} requests in flight, which is its limit (max-concurrent-requests); try again when one is done`,
      )
    this.requests++
    return () => this.requests--
  }

  /** Counts a request's work in: its sequences, and its tokens as they come. What is returned, called once, counts the sequences out. */
  work(sequences: number, spent: Spent): () => void {
    const { maxSequences = Number.POSITIVE_INFINITY } = this.limits
    if (sequences > maxSequences)
      throw new ApiError(
        'invalid_request',
        `this request has ${sequences} sequences (prompts times n), and this key is given ${maxSequences} at most (max-sequences-in-flight); send fewer prompts or a smaller n`,
        'n',
      )
    if (this.sequences + sequences > maxSequences)
      throw new ApiError(
        'too_many_requests',
        `this key has ${this.sequences} of its ${maxSequences} sequences in flight (max-sequences-in-flight), and this request would bring ${sequences} more; try again when one is done`,
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
    throw new ApiError(
      'too_many_requests',
      `this key has used up its ${tokensPerMinute} tokens a minute (tokens-per-minute)`,
      null,
      Math.ceil((1 - left) / (tokensPerMinute / 60)),
    )
  }

  private refill(): void {
    const now = this.now()
    const { tokensPerMinute = 0 } = this.limits
    this.left = Math.min(tokensPerMinute, this.left + ((now - this.at) / MINUTE) * tokensPerMinute)
    this.at = now
  }
}

const total = ({ promptTokens, completionTokens }: Spent) => promptTokens + completionTokens
