/** An adapter's own tokenizer and chat template, where what its folder says is not what the base's says. */
import { createHash } from 'node:crypto'
import type { AdapterText } from '../types.ts'
import { addedOf, entriesOf, type Json, partsOf } from './definition.ts'
import { GENERATION_CONFIG, SLOW, TOKENIZER, TOKENIZER_CONFIG } from './files.ts'
import { invalid, jsonOf, parsed, type Read, type Said, saidBy } from './said.ts'

/** What a base's folder says, as far as adapters are compared with it. Plain data, made once. */
export interface BaseText {
  said: Said
  /** Of tokenizer.json. */
  digest?: string
  /** Digests of the files of slow tokenizers. */
  slow: Record<string, string>
  /** Of its tokenizer.json, when somebody has something else: reading it takes its time. */
  tokens?: Tokens
}

/** A tokenizer.json, as far as it is looked at. */
interface Tokens {
  /** Digests of its parts. */
  parts: Record<string, string>
  /** Its special tokens. */
  specials: string[]
  /** Ids of added tokens and of others that were asked for. */
  ids: Map<string, number>
}

/** Of an adapter. */
interface OwnTokens extends Tokens {
  /** The parts that are not the base's: AdapterText's `definition`. */
  changed: SharedArrayBuffer
  /** Tokens whose ids are not below `vocabSize`. */
  beyond: [text: string, id: number][]
  vocabSize: number
}

/** What has been found out: threads that come later are given it. */
export interface TextKnowledge {
  base?: BaseText
  /** Digests of tokenizer.json files that say what the base's says. */
  same: Set<string>
  /** Others by their digests: many adapters may have the same. */
  own: Map<string, OwnTokens>
  /** Rises when something is found out. */
  version: number
}

export const nothingKnown = (): TextKnowledge => ({ same: new Set(), own: new Map(), version: 0 })

/** Digests that are remembered. */
const MOST_SAME = 256
/** Tokenizers that are, and how large what differs of one may be, in bytes. */
const MOST_OWN = 16
const MOST_OWN_BYTES = 1 << 20
/** No vocabulary is nearly as large. */
const MOST_IDS = 1 << 24
/** Names that an error shows. */
const SHOWN = 3

export class TextReader {
  readonly known: TextKnowledge
  readonly #ofBase: Read
  readonly #vocabularyOfBase = once(() => new Map(entriesOf(jsonOf(this.#ofBase, TOKENIZER) ?? {})))

  constructor(ofBase: Read, known = nothingKnown()) {
    this.#ofBase = ofBase
    this.known = known
  }

  /**
   * undefined: the base's serve. `vocabSize`: how many ids have rows for this adapter. `warn` is told what is odd. Throws AdapterError `adapter_tokenizer_invalid`, naming the file,
   * for what cannot be served.
   */
  read(read: Read, vocabSize: number, warn: (message: string) => void): AdapterText | undefined {
    const base = this.#base()
    const own = saidBy(read)
    const bytes = read(TOKENIZER)
    const definition = bytes && this.#definition(bytes, base, vocabSize)
    if (!bytes) requireSameSlow(read, base)
    if (!definition && saysNothingNew(own, base.said)) return undefined
    const idInBase = (text: string) => idIn(this.#tokens(), this.#vocabularyOfBase, text)
    const vocabulary = once(() => new Map(entriesOf(parsed(bytes as Uint8Array, TOKENIZER))))
    const idOf = definition ? (text: string) => idIn(definition, vocabulary, text) : idInBase
    const tokens = { ...base.said.tokens, ...own.tokens }
    // A padding token that is nothing else is in no prompt and no answer.
    const pad = Object.values(tokens).filter((text) => text === tokens.pad_token).length === 1 ? tokens.pad_token : undefined
    if (definition) requireRows(definition, vocabSize, idInBase, pad, warn)
    requireKnown(own, base, idOf, pad)
    if (own.template === undefined && own.named.length > 0 && own.named.join() !== base.said.named.join())
      throw invalid(
        TOKENIZER_CONFIG,
        `it has chat templates (${own.named.slice(0, SHOWN).join(', ')}), and none of them is the default one`,
      )

    const template = own.template ?? base.said.template
    // A padding token that a trainer has chosen, and no template asks for, changes no answer.
    const names = Object.keys(tokens).filter((name) => name === 'eos_token' || template?.includes(name))
    const shown = Object.fromEntries(names.sort().map((name) => [name, tokens[name]]))
    const specialsOf = (said: Said, list: readonly string[], id: typeof idOf) => {
      const texts = [...list, ...Object.values(said.tokens), ...said.further]
      return [...new Set(texts.map(id).filter((found) => found !== undefined))].sort((a, b) => a - b)
    }
    const specialIds = specialsOf(
      { ...own, tokens, further: [...base.said.further, ...own.further] },
      definition?.specials ?? this.#tokens().specials,
      idOf,
    )
    const baseSpecialIds = specialsOf(base.said, this.#tokens().specials, idInBase)
    const endTokenIds = endTokens(own, base.said, idOf, idInBase, vocabSize)
    const ownTemplate =
      own.template !== undefined && (own.template !== base.said.template || own.toolTemplate !== base.said.toolTemplate)
    const toolTemplate = ownTemplate ? own.toolTemplate : undefined
    const differs = {
      tokenizer: definition !== undefined,
      'chat template': ownTemplate,
      'special tokens':
        names.some((name) => tokens[name] !== base.said.tokens[name]) || specialIds.join() !== baseSpecialIds.join(),
      'end tokens': endTokenIds.length > 0,
      'message format': Object.keys(own.parsers).length > 0,
    }
    const what = Object.entries(differs).flatMap(([name, is]) => (is ? [name] : []))
    if (what.length === 0) return undefined
    const content = [
      definition?.parts ?? this.#tokens().parts,
      shown,
      specialIds,
      template ?? null,
      endTokenIds,
      // Adapters without one keep the digests that they had.
      ...(toolTemplate === undefined ? [] : [toolTemplate]),
      ...(differs['message format'] ? [own.parsers] : []),
    ]
    const { changed } = definition ?? {}
    return {
      digest: createHash('sha256').update(JSON.stringify(content)).digest('hex'),
      what,
      ...(changed && { definition: changed }),
      ...(ownTemplate && { template: own.template }),
      ...(toolTemplate !== undefined && { toolTemplate }),
      tokens,
      specialIds,
      endTokenIds,
      ...(differs['message format'] && { parsers: own.parsers }),
      bytes: (changed?.byteLength ?? 0) + 2 * ((own.template?.length ?? 0) + (toolTemplate?.length ?? 0)),
    }
  }

  #base(): BaseText {
    if (!this.known.base) {
      this.known.base = this.#readBase()
      this.known.version++
    }
    return this.known.base
  }

  #readBase(): BaseText {
    const bytes = this.#ofBase(TOKENIZER)
    const slow = SLOW.flatMap((name) => {
      const found = slowDigest(this.#ofBase, name)
      return found === undefined ? [] : [[name, found]]
    })
    return {
      said: saidBy(this.#ofBase),
      digest: bytes && digestOf(bytes),
      slow: Object.fromEntries(slow),
    }
  }

  #tokens(): Tokens {
    const base = this.#base()
    if (!base.tokens) {
      base.tokens = tokensOf(jsonOf(this.#ofBase, TOKENIZER) ?? {})
      this.known.version++
    }
    return base.tokens
  }

  /** undefined: it says what the base's says. */
  #definition(bytes: Uint8Array, base: BaseText, vocabSize: number): OwnTokens | undefined {
    const { known } = this
    const digest = digestOf(bytes)
    if (digest === base.digest || known.same.has(digest)) return undefined
    const before = known.own.get(digest)
    if (before?.vocabSize === vocabSize) return before
    const whole = parsed(bytes, TOKENIZER)
    requireForm(whole)
    const tokens = tokensOf(whole)
    const ofBase = this.#tokens().parts
    const keys = [...new Set([...Object.keys(tokens.parts), ...Object.keys(ofBase)])]
    const other = keys.filter((key) => tokens.parts[key] !== ofBase[key])
    if (other.length === 0) {
      if (known.same.size < MOST_SAME) known.same.add(digest)
      known.version++
      return undefined
    }
    const changed = shared(Object.fromEntries(other.map((key) => [key, whole[key] ?? null])))
    const beyond = [...entriesOf(whole)].filter(([, id]) => id >= vocabSize)
    const own = { ...tokens, changed, beyond, vocabSize }
    // Its added tokens are among the changed bytes, or the base's.
    if (changed.byteLength <= MOST_OWN_BYTES) this.#remember(digest, own)
    return own
  }

  #remember(digest: string, tokens: OwnTokens): void {
    const { own } = this.known
    own.delete(digest)
    own.set(digest, tokens)
    for (const oldest of own.keys()) if (own.size > MOST_OWN) own.delete(oldest)
    this.known.version++
  }
}

function tokensOf(definition: Json): Tokens {
  const ids = new Map(addedOf(definition).map(({ content, id }) => [content, id]))
  return { parts: partsIn(definition), specials: specialsIn(definition), ids }
}

/** The vocabulary is read when somebody asks for what is no added token: it is large. */
function idIn({ ids }: Tokens, vocabulary: () => Map<string, number>, text: string): number | undefined {
  const known = ids.get(text)
  if (known !== undefined) return known
  const id = vocabulary().get(text)
  if (id !== undefined) ids.set(text, id)
  return id
}

function once<T>(make: () => T): () => T {
  let made: { value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}

/** Ids without rows would fail every prompt that holds them; a padding token is in none. What the base's own tokenizer has stays as it is. */
function requireRows(
  own: OwnTokens,
  vocabSize: number,
  idInBase: (text: string) => number | undefined,
  pad: string | undefined,
  warn: (message: string) => void,
): void {
  const beyond = own.beyond.filter(([text, id]) => idInBase(text) !== id)
  const bad = beyond.filter(([text]) => text !== pad)
  if (bad.length > 0)
    throw invalid(
      TOKENIZER,
      `it has ${named(bad)}, and the model has rows for the ids below ${vocabSize} only: save the adapter with its resized embedding (save_embedding_layers=True), or its tokenizer without them`,
    )
  if (beyond.length > 0) warn(`its padding token ${named(beyond)} has no row in the model: prompts that hold it are refused`)
}

/** transformers would add a token that the vocabulary lacks, with an id of its own. */
function requireKnown(own: Said, base: BaseText, idOf: (text: string) => number | undefined, pad: string | undefined): void {
  const named = Object.entries(own.tokens).filter(([name, text]) => base.said.tokens[name] !== text && text !== pad)
  const further = own.further.filter((text) => !base.said.further.includes(text) && text !== pad)
  const missing = [...named.map(([, text]) => text), ...further].find((text) => idOf(text) === undefined)
  if (missing !== undefined)
    throw invalid(TOKENIZER_CONFIG, `it names the special token ${JSON.stringify(missing)}, which is not in the vocabulary`)
  const decoded = new Map(base.said.decoder)
  const odd = own.decoder.find(([text, id]) => decoded.get(text) !== id && text !== pad && idOf(text) !== id)
  if (odd)
    throw invalid(
      TOKENIZER_CONFIG,
      `added_tokens_decoder says that ${JSON.stringify(odd[0])} is token ${odd[1]}, and the vocabulary has ${idOf(odd[0]) ?? 'no such token'}`,
    )
}

const named = (tokens: [string, number][]) =>
  tokens
    .slice(0, SHOWN)
    .map(([text, id]) => `${JSON.stringify(text)} (${id})`)
    .join(', ') + (tokens.length > SHOWN ? ` and ${tokens.length - SHOWN} more tokens` : '')

function specialsIn(definition: Json): string[] {
  return addedOf(definition).flatMap(({ content, special }) => (special ? [content] : []))
}

/** Beside the base's: what the adapter's tokenizer calls the end of a sequence, and what its generation_config.json does. */
function endTokens(
  own: Said,
  base: Said,
  idOf: (text: string) => number | undefined,
  idInBase: (text: string) => number | undefined,
  vocabSize: number,
): number[] {
  const ids = new Set(own.endTokenIds.filter((id) => !base.endTokenIds.includes(id)))
  const odd = [...ids].find((id) => !(id >= 0 && id < vocabSize))
  if (odd !== undefined) throw invalid(GENERATION_CONFIG, `eos_token_id ${odd} is not a token id of the model`)
  const eos = own.tokens.eos_token ?? base.tokens.eos_token
  const id = eos === undefined ? undefined : idOf(eos)
  const same = eos === base.tokens.eos_token && (eos === undefined || id === idInBase(eos))
  if (id !== undefined && !same) ids.add(id)
  return [...ids].sort((a, b) => a - b)
}

/** Of a copy of the base's files nothing more needs to be read. */
function saysNothingNew(own: Said, base: Said): boolean {
  const specials = new Set([...Object.values(base.tokens), ...base.further])
  return (
    Object.entries(own.tokens).every(([name, text]) => base.tokens[name] === text) &&
    own.further.every((text) => specials.has(text)) &&
    (own.template === undefined
      ? own.named.length === 0
      : own.template === base.template && own.toolTemplate === base.toolTemplate) &&
    own.decoder.every(([text, id]) => base.decoder.some(([other, otherId]) => other === text && otherId === id)) &&
    own.endTokenIds.every((id) => base.endTokenIds.includes(id)) &&
    Object.keys(own.parsers).length === 0
  )
}

function partsIn(definition: Json): Record<string, string> {
  try {
    return partsOf(definition)
  } catch (error) {
    if (error instanceof RangeError) throw invalid(TOKENIZER, 'it is nested too deeply')
    throw error
  }
}

/** Of what is read here; the rest is tried when the tokenizer is made. */
function requireForm(definition: Json): void {
  const { model, added_tokens: added } = definition
  const list = Array.isArray(added) ? added : added === undefined || added === null ? [] : undefined
  const vocab = (model as Json | null | undefined)?.vocab
  const pieces = Array.isArray(vocab) && vocab.every(Array.isArray)
  const ids =
    typeof vocab === 'object' && vocab !== null && !Array.isArray(vocab) ? Object.values(vocab) : pieces ? [] : undefined
  const isId = (id: unknown) => Number.isInteger(id) && (id as number) >= 0 && (id as number) < MOST_IDS
  if (!list?.every((token) => typeof token?.content === 'string' && isId(token.id)) || !ids?.every(isId))
    throw invalid(TOKENIZER, 'its model.vocab and added_tokens are not what the tokenizers library writes')
}

function requireSameSlow(read: Read, base: BaseText): void {
  for (const name of SLOW) {
    const digest = slowDigest(read, name)
    if (digest !== undefined && digest !== base.slow[name])
      throw invalid(
        name,
        `it is not the base model's, and there is no ${TOKENIZER}, which alone can be served: transformers' AutoTokenizer.from_pretrained(…).save_pretrained writes it`,
      )
  }
}

function slowDigest(read: Read, name: string): string | undefined {
  const bytes = read(name)
  if (!bytes || name !== 'added_tokens.json') return bytes && digestOf(bytes)
  return JSON.stringify(Object.entries(parsed(bytes, name)).sort())
}

function shared(value: Json): SharedArrayBuffer {
  const bytes = new TextEncoder().encode(JSON.stringify(value))
  const buffer = new SharedArrayBuffer(bytes.length)
  new Uint8Array(buffer).set(bytes)
  return buffer
}

const digestOf = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')
