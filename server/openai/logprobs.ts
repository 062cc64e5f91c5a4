/** Token logprobs in the three shapes that clients know: completions, chat, and vLLM's prompt_logprobs. */
import type { LogprobRows, Logprobs } from '../../runtime/index.ts'
import { SlicedArray } from '../json.ts'
import type { Detokenizer, TokenReader } from '../types.ts'

/** Rows that are written at a time: with 20 likeliest each some 0.5 ms of the thread that serves everybody. */
const SLICE = 32

/** Items of an answer; many are made while they are written. */
export type Items<T> = T[] | SlicedArray

/** Rows of an answer. `first`: a token before them that has no logprob (a prompt's first). */
export interface LogprobPart {
  rows: LogprobRows
  first?: number
}

/**
 * Items of all parts in turn: `ofRow` for each row, `ofFirst` for a token without logprob. Those of a short part are made at once: in a stream they may depend on
 * how far the choice has come (its text's offsets).
 */
function items<P extends LogprobPart, T, F>(
  parts: readonly P[],
  ofRow: (all: Logprobs, i: number, part: P) => T,
  ofFirst: (token: number, part: P) => F,
): Items<T | F> {
  const slicesOf = function* (part: P): Generator<(T | F)[]> {
    if (part.first !== undefined) yield [ofFirst(part.first, part)]
    const { of, from, to } = part.rows
    for (let at = from; at < to; at += SLICE)
      yield Array.from({ length: Math.min(SLICE, to - at) }, (_, i) => ofRow(of, at + i, part))
  }
  const slices = parts.map((part) => (part.rows.to - part.rows.from > SLICE ? slicesOf(part) : [...slicesOf(part)]))
  return slices.every(Array.isArray) ? slices.flat(2) : new SlicedArray(inTurn(slices))
}

function* inTurn<T>(lists: Iterable<T>[]): Generator<T> {
  for (const list of lists) yield* list
}

const nothing = () => null

/** Texts of tokens are any text, `__proto__` and `constructor` too. */
const record = <T>() => Object.create(null) as Record<string, T>

/**
 * Where tokens stand in the text: a token's offset is where the text stood before it, counted in UTF-16 units. Tokens that bring nothing (special ones, the first
 * bytes of a character) share the next one's.
 */
export class TextOffsets {
  private readonly detokenizer: Detokenizer
  private offset: number

  /** `detokenizer`: a fresh one, as the text itself has; `offset`: characters before the first token. */
  constructor(detokenizer: Detokenizer, offset: number) {
    this.detokenizer = detokenizer
    this.offset = offset
  }

  /** Of the token that follows those asked about so far. */
  next(token: number): number {
    const { offset } = this
    this.offset += this.detokenizer.push([token]).length
    return offset
  }
}

/** Tokens as `token_id:7` instead of their texts (vLLM's return_tokens_as_token_ids): texts of different tokens may be equal, and no client can tell special ones from text. */
export function asTokenIds(reader: TokenReader): TokenReader {
  const token = (id: number) => ({ ...reader.token(id), text: `token_id:${id}` })
  return {
    longestToken: reader.longestToken,
    decode: (ids, options) => reader.decode(ids, options),
    detokenizer: (options) => reader.detokenizer(options),
    tokenString: (id) => reader.tokenString(id),
    token,
  }
}

export interface CompletionLogprobs {
  text_offset: Items<number>
  token_logprobs: Items<number | null>
  tokens: Items<string>
  top_logprobs: Items<Record<string, number> | null>
}

/** Completions: parallel arrays. */
export function completionLogprobs(
  tokenizer: TokenReader,
  parts: readonly (LogprobPart & { offsets: TextOffsets })[],
): CompletionLogprobs {
  const text = (token: number) => tokenizer.token(token).text
  return {
    text_offset: items(
      parts,
      ({ tokens }, i, { offsets }) => offsets.next(tokens[i]),
      (token, { offsets }) => offsets.next(token),
    ),
    token_logprobs: items(parts, ({ logprob }, i) => logprob[i], nothing),
    tokens: items(parts, ({ tokens }, i) => text(tokens[i]), text),
    top_logprobs: items(parts, (all, i) => likeliest(all, i, text), nothing),
  }
}

/** The most likely tokens, and the chosen one if it is none of them (as OpenAI does). Different tokens of one text keep the likelier. */
function likeliest(all: Logprobs, i: number, textOf: (token: number) => string): Record<string, number> {
  const top = record<number>()
  const add = (token: number, logprob: number) => {
    const text = textOf(token)
    top[text] = Math.max(top[text] ?? Number.NEGATIVE_INFINITY, logprob)
  }
  for (let k = all.topStarts[i]; k < all.topStarts[i + 1]; k++) add(all.topTokens[k], all.topLogprobs[k])
  add(all.tokens[i], all.logprob[i])
  return top
}

export interface ChatLogprobs {
  content: Items<object>
}

export function chatLogprobs(tokenizer: TokenReader, rows: LogprobRows): ChatLogprobs {
  const item = (token: number, logprob: number) => {
    const { text, bytes } = tokenizer.token(token)
    return { token: text, logprob, bytes }
  }
  const entry = ({ tokens, logprob, topStarts, topTokens, topLogprobs }: Logprobs, i: number) => {
    const top_logprobs: object[] = []
    for (let k = topStarts[i]; k < topStarts[i + 1]; k++) top_logprobs.push(item(topTokens[k], topLogprobs[k]))
    return { ...item(tokens[i], logprob[i]), top_logprobs }
  }
  return { content: items([{ rows }], entry, nothing as never) }
}

/** vLLM's: per prompt token null (the first) or {token id: {logprob, rank, decoded_token}}, the token itself included. */
export function promptLogprobs(tokenizer: TokenReader, part: LogprobPart): Items<Record<string, object> | null> {
  const entry = ({ tokens, logprob, rank, topStarts, topTokens, topLogprobs }: Logprobs, i: number) => {
    const all: Record<string, object> = {}
    const add = (token: number, value: number, place: number) => {
      all[token] = { logprob: value, rank: place, decoded_token: tokenizer.token(token).text }
    }
    for (let k = topStarts[i]; k < topStarts[i + 1]; k++) add(topTokens[k], topLogprobs[k], k - topStarts[i] + 1)
    add(tokens[i], logprob[i], rank[i])
    return all
  }
  return items([part], entry, nothing)
}
