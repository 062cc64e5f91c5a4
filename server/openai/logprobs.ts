/** Token logprobs in the three shapes that clients know: completions, chat, and vLLM's prompt_logprobs. */
import type { TokenLogprob } from '../../runtime/index.ts'
import type { Detokenizer, Tokenizer } from '../types.ts'

export interface CompletionLogprobs {
  text_offset: number[]
  token_logprobs: (number | null)[]
  tokens: string[]
  top_logprobs: (Record<string, number> | null)[]
}

/** `more` at the end of `all`. */
export function append(all: CompletionLogprobs, more: CompletionLogprobs): void {
  for (const offset of more.text_offset) all.text_offset.push(offset)
  for (const logprob of more.token_logprobs) all.token_logprobs.push(logprob)
  for (const token of more.tokens) all.tokens.push(token)
  for (const top of more.top_logprobs) all.top_logprobs.push(top)
}

/**
 * Completions: parallel arrays. One per choice, since offsets go on from piece to piece. A token's offset is where the text stood before it, counted in
 * UTF-16 units: tokens that bring nothing (special ones, the first bytes of a character) share the next one's.
 */
export class CompletionLogprobsBuilder {
  private readonly tokenizer: Tokenizer
  private readonly detokenizer: Detokenizer
  private offset: number

  /** `detokenizer`: a fresh one, as the text itself has; `offset`: characters before the first token. */
  constructor(tokenizer: Tokenizer, detokenizer: Detokenizer, offset: number) {
    this.tokenizer = tokenizer
    this.detokenizer = detokenizer
    this.offset = offset
  }

  /** `first`: the token of an entry that is null (a prompt's first token has no logprob). */
  build(entries: (TokenLogprob | null)[], first = 0): CompletionLogprobs {
    const out: CompletionLogprobs = { text_offset: [], token_logprobs: [], tokens: [], top_logprobs: [] }
    for (const entry of entries) {
      const token = entry?.token ?? first
      out.text_offset.push(this.offset)
      out.tokens.push(this.tokenizer.token(token).text)
      out.token_logprobs.push(entry ? entry.logprob : null)
      out.top_logprobs.push(entry ? this.top(entry) : null)
      this.offset += this.detokenizer.push([token]).length
    }
    return out
  }

  /** The most likely tokens, and the chosen one if it is none of them (as OpenAI does). Different tokens of one text keep the likelier. */
  private top(entry: TokenLogprob): Record<string, number> {
    const top: Record<string, number> = {}
    for (const { token, logprob } of [...entry.top, entry]) {
      const { text } = this.tokenizer.token(token)
      top[text] = Math.max(top[text] ?? Number.NEGATIVE_INFINITY, logprob)
    }
    return top
  }
}

export interface ChatLogprobs {
  content: object[]
}

export function chatLogprobs(tokenizer: Tokenizer, entries: TokenLogprob[]): ChatLogprobs {
  const item = (token: number, logprob: number) => {
    const { text, bytes } = tokenizer.token(token)
    return { token: text, logprob, bytes }
  }
  return {
    content: entries.map((entry) => ({
      ...item(entry.token, entry.logprob),
      top_logprobs: entry.top.map(({ token, logprob }) => item(token, logprob)),
    })),
  }
}

/** vLLM's: per prompt token null (the first) or {token id: {logprob, rank, decoded_token}}, the token itself included. */
export function promptLogprobs(tokenizer: Tokenizer, entries: (TokenLogprob | null)[]): (Record<string, object> | null)[] {
  return entries.map((entry) => {
    if (!entry) return null
    const all: Record<string, object> = {}
    entry.top.forEach(({ token, logprob }, i) => {
      all[token] = { logprob, rank: i + 1, decoded_token: tokenizer.token(token).text }
    })
    all[entry.token] = { logprob: entry.logprob, rank: entry.rank, decoded_token: tokenizer.token(entry.token).text }
    return all
  })
}
