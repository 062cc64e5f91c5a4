/** From text to token ids: added tokens, normalizer and pre-tokenizer are ours, the model and what it is framed with are @huggingface/tokenizers'. */
import type { Tokenizer } from '@huggingface/tokenizers'
import { type AddedToken, AddedTokens } from './added-tokens.ts'
import type { Definition, Json } from './definition.ts'
import { makeNormalizer } from './normalizers.ts'
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
  private readonly bytes: readonly number[] | undefined
  private readonly before: readonly number[]
  private readonly after: readonly number[]

  /** Throws, naming what is wrong. */
  constructor({ normalizer, preTokenizer, forLibrary }: Definition, library: Tokenizer) {
    const normalize = normalizer ? makeNormalizer(normalizer) : undefined
    this.added = new AddedTokens(forLibrary.added_tokens as AddedToken[], normalize)
    this.cut = preTokenizer ? makePreTokenizer(preTokenizer) : undefined
    this.model = library.model as unknown as Model
    this.bytes = byteFallback(forLibrary.model as Json, this.model.tokens_to_ids)
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
    for (const token of this.model.encode([piece])) {
      const id = known.get(token)
      if (id !== undefined && id !== unknown) {
        ids.push(id)
        unknownBefore = false
      } else if (id === undefined && this.bytes) {
        for (const byte of utf8.encode(token)) ids.push(this.bytes[byte])
        unknownBefore = false
      } else if (unknown === undefined || unknown === null)
        throw new Error('the vocabulary lacks a character, and has no token for unknown ones')
      else {
        if (!(fuses && unknownBefore)) ids.push(unknown)
        unknownBefore = true
      }
    }
  }
}

/** Ids of the bytes' tokens, where a Unigram model falls back to them (the library does it for BPE); undefined: it does not, or lacks one. */
function byteFallback({ type, byte_fallback: falls }: Json, ids: ReadonlyMap<string, number>): number[] | undefined {
  if (type !== 'Unigram' || falls !== true) return undefined
  const all = Array.from({ length: 256 }, (_, byte) => ids.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`))
  return all.every((id) => id !== undefined) ? (all as number[]) : undefined
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
