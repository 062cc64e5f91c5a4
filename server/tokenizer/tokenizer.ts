/** @huggingface/tokenizers behind server/types.ts's Tokenizer: it encodes; decoding is our own, because it must stream. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers'
import type { Detokenizer, TokenIds, Tokenizer } from '../types.ts'
import { TokenDecoding } from './decoding.ts'
import { faithful, type Json } from './definition.ts'
import { StreamingDetokenizer } from './detokenizer.ts'

/** The object that a file holds; undefined where there is none. Throws, naming the file, when it is no JSON object. */
export function readJsonFile(file: string): Json | undefined {
  if (!existsSync(file)) return undefined
  let value: unknown
  try {
    value = JSON.parse(readFileSync(file, 'utf8'))
  } catch (error) {
    throw new Error(`${file} cannot be read: ${(error as Error).message}`)
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json
  throw new Error(`${file} must hold a JSON object`)
}

/** A token in tokenizer_config.json: its text, or an object that holds it. */
export function tokenText(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  const content = (value as { content?: unknown } | null | undefined)?.content
  return typeof content === 'string' ? content : undefined
}

/** A text of all kinds of characters. */
const TRIAL = ' Hello,\n  world 42! é 你好 🦜'

type ShownToken = ReturnType<Tokenizer['token']>

export class ModelTokenizer implements Tokenizer {
  readonly longestToken: number
  private readonly inner: HuggingFaceTokenizer
  private readonly decoding: TokenDecoding
  private readonly special: Set<number>
  /** Bytes of tokens seen so far, as they are anywhere but at the beginning. */
  private readonly seen: (Uint8Array | undefined)[] = []
  /** The same for `token`: a prompt's logprobs ask for 21 at each position, and making a decoder for each was most of their time. */
  private readonly shown: (ShownToken | undefined)[] = []
  private readonly utf8 = new TextDecoder('utf-8', { ignoreBOM: true })

  /** Reads tokenizer.json and tokenizer_config.json of a model folder. Throws, naming the file, when there is none or it is not supported. */
  static load(directory: string): ModelTokenizer {
    const file = path.join(directory, 'tokenizer.json')
    const definition = readJsonFile(file)
    if (!definition)
      throw new Error(
        `${directory} has no tokenizer.json; transformers' AutoTokenizer.from_pretrained(…).save_pretrained writes it`,
      )
    const config = readJsonFile(path.join(directory, 'tokenizer_config.json')) ?? {}
    try {
      const tokenizer = new ModelTokenizer(definition, config)
      // The library looks at much of a definition only when it is used: what fails then would fail every request.
      tokenizer.decode(tokenizer.encode(TRIAL, { addSpecialTokens: true }), { skipSpecialTokens: true })
      return tokenizer
    } catch (cause) {
      throw new Error(`${file} holds no tokenizer that can be served: ${(cause as Error).message}`, { cause })
    }
  }

  constructor(definition: Json, config: Json) {
    // Of the config only what the Rust library knows: the rest (lower-casing, removing spaces) belongs to slow tokenizers.
    this.inner = new HuggingFaceTokenizer(faithful(definition), { eos_token: tokenText(config.eos_token) })
    this.decoding = new TokenDecoding((definition.decoder ?? null) as Json | null)
    let longest = 1
    // A gap between the ids has no spelling.
    for (const [spelling] of this.inner.get_vocab(true)) longest = Math.max(longest, spelling?.length ?? 0)
    this.longestToken = longest
    this.special = new Set(specialTokens(this.inner, config))
  }

  encode(text: string, options: { addSpecialTokens: boolean }): number[] {
    return this.inner.encode(text, { add_special_tokens: options.addSpecialTokens }).ids
  }

  decode(ids: TokenIds, options: { skipSpecialTokens: boolean }): string {
    const detokenizer = this.detokenizer(options)
    return detokenizer.push(ids) + detokenizer.flush()
  }

  detokenizer(options: { skipSpecialTokens: boolean; continues?: boolean }): Detokenizer {
    const all = (id: number, first: boolean) => this.bytes(id, first)
    const ordinary = (id: number, first: boolean) => (this.special.has(id) ? undefined : this.bytes(id, first))
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
    return this.inner.id_to_token(id) ?? ''
  }

  /** undefined past the tokenizer's vocabulary: a model's may be padded. */
  private bytes(id: number, first: boolean): Uint8Array | undefined {
    const known = first ? undefined : this.seen[id]
    if (known) return known
    const spelling = this.inner.id_to_token(id)
    if (spelling === undefined) return undefined
    const bytes = this.decoding.bytes(spelling, first)
    if (!first) this.seen[id] = bytes
    return bytes
  }
}

/** Ids that skip_special_tokens leaves out: those marked in tokenizer.json, and those that tokenizer_config.json names, as transformers marks them. */
function* specialTokens(inner: HuggingFaceTokenizer, config: Json): Generator<number> {
  for (const [id, token] of inner.get_added_tokens_decoder()) if (token.special) yield id
  const lists = [config.additional_special_tokens, config.extra_special_tokens].filter(Array.isArray)
  const single = Object.entries(config).filter(([key]) => /^(bos|eos|unk|sep|pad|cls|mask)_token$/.test(key))
  for (const value of [...single.map(([, value]) => value), ...lists.flat()]) {
    const text = tokenText(value)
    const id = text === undefined ? undefined : inner.token_to_id(text)
    if (id !== undefined) yield id
  }
}
