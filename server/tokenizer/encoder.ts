/** From text to token ids: added tokens, normalizer and pre-tokenizer are ours, the model and what it is framed with are @huggingface/tokenizers'. */
import type { Tokenizer } from '@huggingface/tokenizers'
import { type AddedToken, AddedTokens } from './added-tokens.ts'
import type { Definition, Json } from './definition.ts'
import { makeNormalizer, stripsStart } from './normalizers.ts'
import { type Cut, makePreTokenizer } from './pre-tokenizers.ts'

const utf8 = new TextEncoder()

/** What of the library's models is used. */
interface Model {
  encode(pieces: string[]): string[]
  tokens_to_ids: Map<string, number>
  unk_token_id: number | undefined
  fuse_unk: boolean
}

/** Stands for a text while the tokens around it are asked for. */
const BODY = '\0body\0'

export class Encoder {
  private readonly added: AddedTokens
  private readonly cut: Cut | undefined
  private readonly model: Model
  private readonly bytes: readonly (number | undefined)[] | undefined
  /** A BPE model without a token for what it does not know. */
  private readonly leavesOut: boolean
  private readonly before: readonly number[]
  private readonly after: readonly number[]

  /** Throws, naming what is wrong. */
  constructor({ normalizer, preTokenizer, forLibrary }: Definition, library: Tokenizer) {
    const normalize = normalizer ? makeNormalizer(normalizer) : undefined
    this.added = new AddedTokens(
      forLibrary.added_tokens as AddedToken[],
      normalize,
      normalizer !== null && stripsStart(normalizer),
    )
    this.cut = preTokenizer ? makePreTokenizer(preTokenizer) : undefined
    this.model = library.model as unknown as Model
    this.bytes = byteFallback(forLibrary.model as Json, this.model.tokens_to_ids)
    const { type, unk_token: unknown } = forLibrary.model as Json
    this.leavesOut = type === 'BPE' && (unknown === undefined || unknown === null)
    ;[this.before, this.after] = frame(library, this.model)
  }

  encode(text: string, { addSpecialTokens }: { addSpecialTokens: boolean }): number[] {
    const ids: number[] = addSpecialTokens ? [...this.before] : []
    for (const section of this.added.sections(text)) {
      if ('id' in section) ids.push(section.id)
      else for (const piece of this.cut ? this.cut([section]) : [section]) this.read(piece.text, ids)
    }
    if (addSpecialTokens) ids.push(...this.after)
    return ids
  }

  /** What follows each other in one piece and is unknown is one unknown token, where the model says so. */
  private read(piece: string, ids: number[]): void {
    const { tokens_to_ids: known, unk_token_id: unknown, fuse_unk: fuses } = this.model
    let unknownBefore = false
    for (const token of this.tokens(piece)) {
      const id = known.get(token)
      const isKnown = id !== undefined && id !== unknown
      if (isKnown) ids.push(id)
      if (isKnown || (id === undefined && this.pushBytes(token, ids))) {
        unknownBefore = false
        continue
      }
      if (unknown === undefined || unknown === null)
        throw new Error('the vocabulary lacks a character, and has no token for unknown ones')
      if (!(fuses && unknownBefore)) ids.push(unknown)
      unknownBefore = true
    }
  }

  /** What a Unigram model does not know is one token up to what it knows: the bytes are those of all of it. */
  private tokens(piece: string): string[] {
    const tokens = this.model.encode([piece])
    if (this.leavesOut) return this.withoutUnknown(piece, tokens)
    if (!this.bytes) return tokens
    const all: string[] = []
    let unknownBefore = false
    for (const token of tokens) {
      const unknown = !this.model.tokens_to_ids.has(token)
      if (unknown && unknownBefore) all[all.length - 1] += token
      else all.push(token)
      unknownBefore = unknown
    }
    return all
  }

  /** Characters that the vocabulary lacks are not there: what is around them is merged. The library leaves them out after it has merged. */
  private withoutUnknown(piece: string, tokens: string[]): string[] {
    let units = 0
    for (const token of tokens) units += token.length
    if (units >= piece.length) return tokens
    const { tokens_to_ids: known } = this.model
    return this.model.encode([Array.from(piece, (char) => (known.has(char) ? char : '')).join('')])
  }

  /** Whether it could be said in bytes, all of which have tokens. */
  private pushBytes(token: string, ids: number[]): boolean {
    const all = this.bytes && Array.from(utf8.encode(token), (byte) => this.bytes?.[byte])
    if (!all?.every((id) => id !== undefined)) return false
    for (const id of all) ids.push(id as number)
    return true
  }
}

/** Ids of the bytes' tokens, where a Unigram model falls back to them (the library does it for BPE). */
function byteFallback(
  { type, byte_fallback: falls }: Json,
  ids: ReadonlyMap<string, number>,
): (number | undefined)[] | undefined {
  if (type !== 'Unigram' || falls !== true) return undefined
  return Array.from({ length: 256 }, (_, byte) => ids.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`))
}

/** Ids before and behind a text with special tokens. Throws for one that the vocabulary lacks. */
function frame(library: Tokenizer, { tokens_to_ids: ids }: Model): [number[], number[]] {
  const process = library.post_processor as unknown as
    | ((tokens: string[], pair: null, special: boolean) => { tokens: string[] })
    | null
  if (!process) return [[], []]
  const { tokens } = process([BODY], null, true)
  const at = tokens.indexOf(BODY)
  const idOf = (token: string) => {
    const id = ids.get(token)
    if (id === undefined)
      throw new Error(`post_processor names the token ${JSON.stringify(token)}, which is not in the vocabulary`)
    return id
  }
  return [tokens.slice(0, at).map(idOf), tokens.slice(at + 1).map(idOf)]
}
