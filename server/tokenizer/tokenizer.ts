/** @huggingface/tokenizers behind server/types.ts's Tokenizer: it encodes; decoding is our own, because it must stream. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers'
import type { Tokenizer } from '../types.ts'
import { type Json, readDefinition } from './definition.ts'
import { Encoder } from './encoder.ts'
import { TokenTexts } from './token-texts.ts'

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

export class ModelTokenizer extends TokenTexts implements Tokenizer {
  private readonly inner: HuggingFaceTokenizer
  private readonly encoder: Encoder

  /** Reads tokenizer.json and tokenizer_config.json of a model folder. Throws, naming the file, when there is none or it is not supported. */
  static load(directory: string): ModelTokenizer {
    const file = path.join(directory, 'tokenizer.json')
    const definition = requireDefinition(directory)
    const config = readJsonFile(path.join(directory, 'tokenizer_config.json')) ?? {}
    try {
      return new ModelTokenizer(definition, config).tried()
    } catch (cause) {
      throw new Error(`${file} holds no tokenizer that can be served: ${(cause as Error).message}`, { cause })
    }
  }

  /** `specialIds`: those that skip_special_tokens leaves out, if that is known. */
  constructor(definition: Json, config: Json, specialIds?: readonly number[]) {
    // Of the config only what the Rust library knows: the rest (lower-casing, removing spaces) belongs to slow tokenizers.
    requireIds(definition)
    const read = readDefinition(definition)
    const inner = new HuggingFaceTokenizer(read.forLibrary, { eos_token: tokenText(config.eos_token) })
    let longest = 1
    // A gap between the ids has no spelling.
    for (const [spelling] of inner.get_vocab(true)) longest = Math.max(longest, spelling?.length ?? 0)
    super((id) => inner.id_to_token(id), decoderOf(definition), specialIds ?? specialTokens(inner, config), longest)
    this.inner = inner
    this.encoder = new Encoder(read, inner)
  }

  encode(text: string, options: { addSpecialTokens: boolean }): number[] {
    return this.encoder.encode(text, options)
  }

  /** Itself. The library looks at much of a definition only when it is used: what fails then would fail every request. */
  tried(): this {
    this.decode(this.encode(TRIAL, { addSpecialTokens: true }), { skipSpecialTokens: true })
    return this
  }

  /** Each token's spelling, by its id; undefined where there is none. */
  spellings(): (string | undefined)[] {
    const all: (string | undefined)[] = []
    for (const [spelling, id] of this.inner.get_vocab(true)) all[id] = spelling
    return all
  }
}

/** Ids beyond any vocabulary's: the library keeps a place for each id below the largest, and goes through all of them. */
const MOST_IDS = 1 << 24

function requireIds({ model, added_tokens }: Json): void {
  const { vocab } = (model ?? {}) as { vocab?: unknown }
  const ids: unknown[] = typeof vocab === 'object' && vocab !== null && !Array.isArray(vocab) ? Object.values(vocab) : []
  const added = Array.isArray(added_tokens) ? added_tokens.map((token) => (token as { id?: unknown } | null)?.id) : []
  for (const list of [ids, added])
    for (const id of list)
      if (typeof id === 'number' && id >= MOST_IDS)
        throw new Error(`a token has the id ${id}; ids below ${MOST_IDS} are expected`)
}

/** tokenizer.json of a model folder. Throws where there is none. */
export function requireDefinition(directory: string): Json {
  const definition = readJsonFile(path.join(directory, 'tokenizer.json'))
  if (definition) return definition
  throw new Error(`${directory} has no tokenizer.json; transformers' AutoTokenizer.from_pretrained(…).save_pretrained writes it`)
}

export const decoderOf = (definition: Json) => (definition.decoder ?? null) as Json | null

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
