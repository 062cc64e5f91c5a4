/** What a request may cost, counted before anything is done for it, and what those in flight may cost together. */
import { ApiError, limitReached } from './errors.ts'

/** In the units in which one client can take much from the others. */
export interface Cost {
  /** Prompts times choices: each has its place in the queue and in the batch. */
  sequences: number
  /** Tokens of all sequences' prompts, and all that they may generate: time of the device. */
  tokens: number
  /** Tokens with a logprob times 1 + the likeliest beside it: 8 bytes each until a whole answer is written, and some 70 of the answer. */
  logprobs: number
}

export interface CostLimits {
  maxRequestSequences: number
  maxRequestTokens: number
  maxRequestLogprobs: number
  maxSequencesInFlight: number
  maxLogprobsInFlight: number
}

/** A sequence, as far as its cost goes. -1 logprobs: none. */
export interface Counted {
  promptIds: { length: number }
  sampling: { maxTokens: number; logprobs: number; promptLogprobs: number }
}

export function costOf(sequences: readonly Counted[]): Cost {
  const cost = { sequences: sequences.length, tokens: 0, logprobs: 0 }
  for (const { promptIds, sampling } of sequences) {
    cost.tokens += promptIds.length + sampling.maxTokens
    cost.logprobs += promptIds.length * (1 + sampling.promptLogprobs) + sampling.maxTokens * (1 + sampling.logprobs)
  }
  return cost
}

/** By unit: the settings, and what a request can do about it. */
const UNITS = {
  sequences: {
    ofRequest: 'max-request-sequences',
    inFlight: 'max-sequences-in-flight',
    what: 'sequences (prompts times n)',
    advice: 'send fewer prompts or a smaller n',
  },
  tokens: {
    ofRequest: 'max-request-tokens',
    inFlight: undefined,
    what: "tokens (of every sequence's prompt, and max_tokens of each)",
    advice: 'give a smaller max_tokens, or send fewer prompts or a smaller n',
  },
  logprobs: {
    ofRequest: 'max-request-logprobs',
    inFlight: 'max-logprobs-in-flight',
    what: 'logprobs (tokens times 1 + the likeliest beside each)',
    advice: 'ask for fewer, give a smaller max_tokens, or send fewer prompts or a smaller n',
  },
} as const
type Unit = keyof Cost

/** Counts what is in flight, and refuses what is too much: 400 for what can never be served, 429 for what cannot be served now. */
export class CostAccount {
  private readonly limits: CostLimits
  private sequences = 0
  private logprobs = 0

  constructor(limits: CostLimits) {
    this.limits = limits
  }

  /** Refuses too many sequences before any of their prompts is read. `field`: what there is too much of. */
  checkSequences(sequences: number, field: string): void {
    const { maxRequestSequences, maxSequencesInFlight } = this.limits
    check('sequences', sequences, field, maxRequestSequences, maxSequencesInFlight)
  }

  /** How many of a request's sequences may be under way at a time, where they need not all be: the others wait outside. */
  atOnce(sequences: number): number {
    return Math.min(sequences, this.limits.maxRequestSequences, this.limits.maxSequencesInFlight)
  }

  /** Counts a request in; what is returned, called once, counts it out. `fields`: those of the body that too many of a unit are told of. */
  take(cost: Cost, fields: Readonly<Record<Unit, string>>): () => void {
    const { maxRequestTokens, maxRequestLogprobs, maxSequencesInFlight, maxLogprobsInFlight } = this.limits
    this.checkSequences(cost.sequences, fields.sequences)
    check('tokens', cost.tokens, fields.tokens, maxRequestTokens)
    check('logprobs', cost.logprobs, fields.logprobs, maxRequestLogprobs, maxLogprobsInFlight)
    checkNow('sequences', cost.sequences, this.sequences, maxSequencesInFlight)
    checkNow('logprobs', cost.logprobs, this.logprobs, maxLogprobsInFlight)
    this.sequences += cost.sequences
    this.logprobs += cost.logprobs
    return () => {
      this.sequences -= cost.sequences
      this.logprobs -= cost.logprobs
    }
  }
}

function check(unit: Unit, count: number, field: string, ofRequest: number, inFlight = Number.POSITIVE_INFINITY): void {
  const most = Math.min(ofRequest, inFlight)
  if (count <= most) return
  const { what, advice, ...settings } = UNITS[unit]
  const setting = ofRequest <= inFlight ? settings.ofRequest : settings.inFlight
  throw new ApiError(
    'invalid_request',
    `${field}: this request may take ${count} ${what}, and one request is given ${most} at most (--${setting}); ${advice}`,
    field,
  )
}

function checkNow(unit: 'sequences' | 'logprobs', count: number, taken: number, most: number): void {
  if (count <= most - taken) return
  const { what, inFlight } = UNITS[unit]
  throw limitReached(
    { of: 'server', name: inFlight, value: most },
    `requests in flight leave less than the ${count} ${what} that this one may take; all together are given ${most} (--${inFlight}): try again in a second`,
  )
}
