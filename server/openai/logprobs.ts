/** Token logprobs in the three shapes that clients know: completions, chat, and vLLM's prompt_logprobs. */
import type { TokenLogprob } from '../../runtime/index.ts'
import type { Tokenizer } from '../types.ts'

export interface CompletionLogprobs {
  text_offset: number[]
  token_logprobs: (number | null)[]
  tokens: string[]
  top_logprobs: (Record<string, number> | null)[]
}

/** Completions: parallel arrays; offsets count characters from the start of the choice's text. One per choice, since offsets go on from piece to piece. */
export class CompletionLogprobsBuilder {
  private offset = 0
  private readonly tokenizer: Tokenizer

  constructor(tokenizer: Tokenizer) {
    this.tokenizer = tokenizer
  }

  /** `first`: the token of an entry that is null (a prompt's first token has no logprob). */
  build(entries: (TokenLogprob | null)[], first?: number): CompletionLogprobs {
    const out: CompletionLogprobs = { text_offset: [], token_logprobs: [], tokens: [], top_logprobs: [] }
    for (const entry of entries) {
      const text = this.tokenizer.token(entry?.token ?? first ?? 0).text
      out.text_offset.push(this.offset)
      out.tokens.push(text)
      out.token_logprobs.push(entry ? entry.logprob : null)
      out.top_logprobs.push(entry ? this.top(entry) : null)
      this.offset += text.length
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

export function chatLogprobs(tokenizer: Tokenizer, entries: TokenLogprob[]): { content: object[] } {
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
