/** Requests: when they come, what they name, how long they are. */
import { seeded } from '../../test/support/pace.ts'
import { type Popularity, sampler } from './popularity.ts'

export interface Request {
  adapter: number
  /** Tokens; of the prompt, the first `shared` are the adapter's own beginning. */
  prompt: number
  output: number
  shared: number
  /** Milliseconds. */
  at: number
}

/**
 * Tokens at these parts of the requests: Azure's LLM inference trace of 2023, conversations (github.com/Azure/AzurePublicDataset, CC-BY; Patel et al., Splitwise, ISCA 2024), 19,366 requests. Between them as a straight line.
 */
const PARTS = [0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99]
const PROMPTS = [2, 29, 181, 207, 387, 403, 703, 1020, 1071, 1130, 1315, 2734, 4083, 4142]
const OUTPUTS = [7, 16, 41, 54, 77, 91, 103, 129, 177, 384, 400, 424, 451, 601]

function lengthAt(u: number, tokens: readonly number[]): number {
  const above = PARTS.findIndex((part) => part > u)
  if (above < 0) return tokens[tokens.length - 1]
  const along = (u - PARTS[above - 1]) / (PARTS[above] - PARTS[above - 1])
  return Math.round(tokens[above - 1] + along * (tokens[above] - tokens[above - 1]))
}

export interface Asked {
  requests: number
  /** Requests a second; they come by a Poisson process. */
  rate: number
  /** Tokens with which an adapter's prompts begin alike, such as its system prompt. */
  shared: number
  seed: number
  /** By popularity, or these in their order, again from the first when they end. */
  adapters: Popularity | readonly number[]
}

/** The same for the same seed; rate and policy change neither what is asked nor in which order. */
export function workload({ requests, rate, shared, seed, adapters }: Asked): Request[] {
  const { next } = seeded(seed)
  const times = seeded(seed + 1)
  const draw = adapters instanceof Float64Array ? shuffled(sampler(adapters, next), adapters.length, seed) : undefined
  let at = 0
  return Array.from({ length: requests }, (_, i) => {
    at += (-Math.log(1 - times.next()) * 1000) / rate
    const adapter = draw ? draw() : (adapters[i % adapters.length] as number)
    const prompt = Math.max(1, lengthAt(next(), PROMPTS))
    return { adapter, prompt, output: Math.max(1, lengthAt(next(), OUTPUTS)), shared: Math.min(shared, prompt - 1), at }
  })
}

/** Ranks as adapters whose numbers say nothing of their popularity. */
function shuffled(draw: () => number, count: number, seed: number): () => number {
  const { below } = seeded(seed + 2)
  const numbers = Array.from({ length: count }, (_, i) => i)
  for (let i = count - 1; i > 0; i--) {
    const j = below(i + 1)
    ;[numbers[i], numbers[j]] = [numbers[j], numbers[i]]
  }
  return () => numbers[draw()]
}
