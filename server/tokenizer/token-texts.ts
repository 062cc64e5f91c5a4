/** What tokens are as text, of a vocabulary that is here in any form. */
import type { Detokenizer, TokenIds, TokenReader } from '../types.ts'
import { TokenDecoding } from './decoding.ts'
import type { Json } from './definition.ts'
import { StreamingDetokenizer } from './detokenizer.ts'

type ShownToken = ReturnType<TokenReader['token']>

/** undefined past the tokenizer's vocabulary: a model's may be padded. */
export type Spelling = (id: number) => string | undefined

export class TokenTexts implements TokenReader {
  readonly longestToken: number
  private readonly spelling: Spelling
  private readonly decoder: Json | null
  private readonly decoding: TokenDecoding
  private readonly special: Set<number>
  /** Bytes of tokens seen so far, as they are anywhere but at the beginning. */
  private readonly seen: (Uint8Array | undefined)[] = []
  /** The same for `token`: a prompt's logprobs ask for 21 at each position, and making a decoder for each was most of their time. */
  private readonly shown: (ShownToken | undefined)[] = []
  private readonly utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

  /** `decoder`: tokenizer.json's; throws when it is not supported. `special`: ids that skip_special_tokens leaves out. */
  constructor(spelling: Spelling, decoder: Json | null, special: Iterable<number>, longestToken: number) {
    this.spelling = spelling
    this.decoder = decoder
    this.decoding = new TokenDecoding(decoder)
    this.special = new Set(special)
    this.longestToken = longestToken
  }

  /** The same tokens, of which others are left out by skip_special_tokens. */
  withSpecial(ids: Iterable<number>): TokenTexts {
    return new TokenTexts(this.spelling, this.decoder, ids, this.longestToken)
  }

  decode(ids: TokenIds, options: { skipSpecialTokens: boolean }): string {
    const detokenizer = this.detokenizer(options)
    return detokenizer.push(ids) + detokenizer.flush()
  }

  detokenizer(options: { skipSpecialTokens: boolean; continues?: boolean; keep?: readonly string[] }): Detokenizer {
    const { keep } = options
    const all = (id: number, first: boolean) => this.bytes(id, first)
    const ordinary = (id: number, first: boolean) =>
      this.special.has(id) && !keep?.includes(this.tokenString(id)) ? undefined : this.bytes(id, first)
    return new StreamingDetokenizer(
      options.skipSpecialTokens ? ordinary : all,
      options.continues ? undefined : this.decoding.lead,
    )
  }

  token(id: number): ShownToken {
    const known = this.shown[id]
    if (known) return known
    const bytes = this.bytes(id, false) ?? new Uint8Array()
    const shown = { text: this.utf8.decode(bytes), bytes: [...bytes] }
    this.shown[id] = shown
    return shown
  }

  tokenString(id: number): string {
    return this.spelling(id) ?? ''
  }

  private bytes(id: number, first: boolean): Uint8Array | undefined {
    const known = first ? undefined : this.seen[id]
    if (known) return known
    const spelling = this.spelling(id)
    if (spelling === undefined) return undefined
    const bytes = this.decoding.bytes(spelling, first)
    if (!first) this.seen[id] = bytes
    return bytes
  }
}
