/**
 * Tokens to bytes, as a tokenizer.json's `decoder` says. A decoder is a chain of steps over all tokens; those of language models treat each
 * token alone (whether it is the first aside) and end in one string. So a sequence is the concatenation of its tokens' bytes, and text can be
 * given out token by token. Decoders that look at neighbours (BPEDecoder, CTC) are refused.
 */
import type { Json } from './definition.ts'

const utf8 = new TextEncoder()

/** GPT-2's byte alphabet: printable Latin-1 characters stand for themselves, the other bytes for characters from U+0100 on. */
function byteAlphabet(): Map<string, number> {
  const printable = (b: number) => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || (b >= 174 && b <= 255)
  const alphabet = new Map<string, number>()
  let next = 256
  for (let b = 0; b < 256; b++) alphabet.set(String.fromCharCode(printable(b) ? b : next++), b)
  return alphabet
}

/** Steps that turn a token's text into other text; `first` holds for the first token of a sequence. */
type TextStep = (token: string, first: boolean) => string
/** The step that turns it into bytes. */
type ByteStep = (token: string) => Uint8Array

const plain: ByteStep = (token) => utf8.encode(token)

/** Characters outside the alphabet (added tokens hold some) make the whole token stand for itself. */
function byteLevel(): ByteStep {
  const alphabet = byteAlphabet()
  return (token) => {
    const bytes = Array.from(token, (char) => alphabet.get(char))
    return bytes.includes(undefined) ? plain(token) : Uint8Array.from(bytes as number[])
  }
}

const byteFallback: ByteStep = (token) => {
  const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)
  return byte ? Uint8Array.of(Number.parseInt(byte[1], 16)) : plain(token)
}

function replace({ pattern, content }: Json): TextStep {
  const { String: text } = (pattern ?? {}) as { String?: string }
  if (text === undefined) throw unsupported('Replace with a regular expression')
  return (token) => token.replaceAll(text, () => content as string)
}

function metaspace({ replacement, prepend_scheme, add_prefix_space }: Json): TextStep {
  const mark = (replacement as string | undefined) ?? '▁'
  const prefixed = prepend_scheme === undefined ? add_prefix_space !== false : prepend_scheme !== 'never'
  return (token, first) => token.replaceAll(mark, first && prefixed ? '' : ' ')
}

function wordPiece({ prefix, cleanup }: Json): TextStep {
  if (cleanup) throw unsupported('WordPiece with cleanup')
  const mark = prefix as string
  return (token, first) => (first ? token : token.startsWith(mark) ? token.slice(mark.length) : ` ${token}`)
}

const unsupported = (what: string) => new Error(`the decoder ${what} is not supported`)

export class TokenDecoding {
  private readonly texts: TextStep[] = []
  private toBytes: ByteStep | undefined
  private fused = false
  /** At the beginning of a text, up to `count` times `char` is left out (Strip after Fuse: SentencePiece's added space). */
  readonly lead = { char: ' ', count: 0 }

  /** Throws when the decoder is not supported. */
  constructor(decoder: Json | null) {
    if (decoder) this.add(decoder)
    else this.texts.push((token, first) => (first ? token : ` ${token}`))
  }

  bytes(spelling: string, first: boolean): Uint8Array {
    const text = this.texts.reduce((token, step) => step(token, first), spelling)
    return (this.toBytes ?? plain)(text)
  }

  private add(step: Json): void {
    switch (step.type) {
      case 'Sequence':
        for (const inner of step.decoders as Json[]) this.add(inner)
        break
      case 'Fuse':
        this.fused = true
        break
      case 'Strip':
        this.strip(step)
        break
      case 'ByteLevel':
        this.toBytes = this.unjoined(step, byteLevel())
        break
      case 'ByteFallback':
        this.toBytes = this.unjoined(step, byteFallback)
        break
      case 'Replace':
        this.texts.push(this.unjoined(step, replace(step)))
        break
      case 'Metaspace':
        this.texts.push(this.unjoined(step, metaspace(step)))
        break
      case 'WordPiece':
        this.texts.push(this.unjoined(step, wordPiece(step)))
        break
      default:
        throw unsupported(String(step.type))
    }
  }

  /** A step that treats each token alone must come before they are joined. */
  private unjoined<T>(step: Json, treatment: T): T {
    if (this.toBytes || this.fused) throw unsupported(`${step.type} after the tokens are joined`)
    return treatment
  }

  private strip({ content, start, stop }: Json): void {
    if (!this.fused || stop) throw unsupported('Strip other than at the beginning of the text')
    this.lead.char = content as string
    this.lead.count += start as number
  }
}
