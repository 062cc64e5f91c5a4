/** @huggingface/tokenizers behind server/types.ts's Tokenizer. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers'
import type { Detokenizer, Tokenizer } from '../types.ts'
import { IncrementalDetokenizer } from './detokenizer.ts'
import { type TokenBytes, tokenBytesOf } from './token-bytes.ts'

type Json = Record<string, unknown>

export function readJsonFile(file: string): Json | undefined {
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Json) : undefined
}

/** A token in tokenizer_config.json: its text, or an object that holds it. */
export function tokenText(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  const content = (value as { content?: unknown } | null | undefined)?.content
  return typeof content === 'string' ? content : undefined
}

export class ModelTokenizer implements Tokenizer {
  readonly vocabSize: number
  readonly bosTokenId?: number
  private readonly inner: HuggingFaceTokenizer
  private readonly bytesOf: TokenBytes

  /** Reads tokenizer.json and tokenizer_config.json of a model folder. */
  static load(directory: string): ModelTokenizer {
    const definition = readJsonFile(path.join(directory, 'tokenizer.json'))
    if (!definition)
      throw new Error(
        `${directory} has no tokenizer.json (a fast tokenizer); convert the tokenizer with transformers' save_pretrained`,
      )
    return new ModelTokenizer(definition, readJsonFile(path.join(directory, 'tokenizer_config.json')) ?? {})
  }

  constructor(definition: Json, config: Json) {
    this.inner = new HuggingFaceTokenizer(definition, config)
    this.vocabSize = this.inner.get_vocab(true).size
    const bos = tokenText(config.bos_token)
    if (bos !== undefined) this.bosTokenId = this.inner.token_to_id(bos)
    const added = new Set([...this.inner.get_added_tokens_decoder().keys()])
    this.bytesOf = tokenBytesOf(definition.decoder, (id) => added.has(id))
  }

  encode(text: string, options: { addSpecialTokens: boolean }): number[] {
    return this.inner.encode(text, { add_special_tokens: options.addSpecialTokens }).ids
  }

  decode(ids: readonly number[], options: { skipSpecialTokens: boolean }): string {
    // A model's vocabulary may be padded past the tokenizer's: such ids have no text.
    const known = ids.filter((id) => this.inner.id_to_token(id) !== undefined)
    if (known.length === 0) return ''
    return this.inner.decode(known, { skip_special_tokens: options.skipSpecialTokens, clean_up_tokenization_spaces: false })
  }

  detokenizer(options: { skipSpecialTokens: boolean }): Detokenizer {
    return new IncrementalDetokenizer((ids) => this.decode(ids, options))
  }

  token(id: number): { text: string; bytes: number[] } {
    const bytes = this.bytesOf(id, this.tokenString(id))
    return { text: new TextDecoder().decode(Uint8Array.from(bytes)), bytes }
  }

  tokenString(id: number): string {
    return this.inner.id_to_token(id) ?? ''
  }
}
