/**
 * Text of a growing token sequence. Each token's bytes go through one streaming UTF-8 decoder, which holds back an unfinished character until its other
 * bytes come: a constant amount of work per token, and the pieces concatenate to the whole by construction.
 *
 * One difference from Hugging Face's decode, which looks at the whole: where byte tokens (`<0xE2>`) form no character, it makes one U+FFFD of each byte
 * of the whole run of byte tokens, the well-formed characters in it too. Those are kept here, and what is malformed becomes U+FFFD as in WHATWG's decoder.
 */
import type { Detokenizer, TokenIds } from '../types.ts'

/** The bytes of a token; undefined: left out. `first` holds until one was not left out. */
export type BytesOf = (id: number, first: boolean) => Uint8Array | undefined

export class StreamingDetokenizer implements Detokenizer {
  private readonly bytesOf: BytesOf
  private readonly utf8 = new TextDecoder('utf-8', { ignoreBOM: true })
  private readonly lead: string
  private toStrip: number
  private first: boolean

  /** Up to `lead.count` times `lead.char` is left out at the beginning. Without `lead` the tokens are no beginning. */
  constructor(bytesOf: BytesOf, lead?: { char: string; count: number }) {
    this.bytesOf = bytesOf
    this.first = lead !== undefined
    this.lead = lead?.char ?? ''
    this.toStrip = lead?.count ?? 0
  }

  push(ids: TokenIds): string {
    let text = ''
    for (const id of ids) {
      const bytes = this.bytesOf(id, this.first)
      if (!bytes) continue
      this.first = false
      text += this.utf8.decode(bytes, { stream: true })
    }
    return this.strip(text)
  }

  flush(): string {
    return this.strip(this.utf8.decode())
  }

  private strip(text: string): string {
    let at = 0
    while (this.toStrip > 0 && at < text.length) {
      if (!text.startsWith(this.lead, at)) {
        this.toStrip = 0
      } else {
        at += this.lead.length
        this.toStrip--
      }
    }
    return text.slice(at)
  }
}
