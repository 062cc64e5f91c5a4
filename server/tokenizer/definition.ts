/** A tokenizer.json, read as Hugging Face's Rust library reads it: which keys may be absent, and what they are then. What is missing, or is not supported, is refused by its name. */

export type Json = Record<string, unknown>

/** One step of normalizing or splitting. */
export type Step = Json & { type: string }

/** What each step must say. */
const NEEDED: { [place: string]: { [type: string]: string[] } } = {
  normalizer: {
    BertNormalizer: ['clean_text', 'handle_chinese_chars', 'strip_accents', 'lowercase'],
    ByteLevel: [],
    Lowercase: [],
    NFC: [],
    NFD: [],
    NFKC: [],
    NFKD: [],
    Nmt: [],
    Precompiled: ['precompiled_charsmap'],
    Prepend: ['prepend'],
    Replace: ['pattern', 'content'],
    Sequence: ['normalizers'],
    Strip: ['strip_left', 'strip_right'],
    StripAccents: [],
  },
  pre_tokenizer: {
    BertPreTokenizer: [],
    ByteLevel: ['add_prefix_space', 'trim_offsets'],
    CharDelimiterSplit: ['delimiter'],
    Digits: ['individual_digits'],
    FixedLength: ['length'],
    Metaspace: ['replacement'],
    Punctuation: [],
    Sequence: ['pretokenizers'],
    Split: ['pattern', 'behavior', 'invert'],
    Whitespace: [],
    WhitespaceSplit: [],
  },
}

const MODELS: { [type: string]: string[] } = {
  BPE: ['vocab', 'merges'],
  Unigram: ['vocab'],
  WordPiece: ['vocab', 'unk_token', 'continuing_subword_prefix', 'max_input_chars_per_word'],
}
const OF_ADDED_TOKEN = ['id', 'content', 'single_word', 'lstrip', 'rstrip', 'normalized', 'special']

export interface Definition {
  normalizer: Step | null
  preTokenizer: Step | null
  /** As @huggingface/tokenizers takes it; it makes the model and the post-processor of it, and the other steps are ours. */
  forLibrary: Json
}

/** Throws, naming the key. */
export function readDefinition(definition: Json): Definition {
  require(definition, ['model'], 'it')
  const { model, added_tokens: added = [], post_processor: processor = null, decoder = null } = definition
  if (!Array.isArray(added)) throw new Error('added_tokens must be a list')
  for (const [i, token] of added.entries()) require(token, OF_ADDED_TOKEN, `added_tokens.${i}`)
  return {
    normalizer: stepOf('normalizer', definition.normalizer ?? null),
    preTokenizer: stepOf('pre_tokenizer', definition.pre_tokenizer ?? null),
    forLibrary: {
      ...definition,
      model: modelOf(model),
      added_tokens: added,
      normalizer: null,
      pre_tokenizer: null,
      post_processor: processor,
      decoder,
    },
  }
}

function stepOf(place: 'normalizer' | 'pre_tokenizer', step: unknown, path: string = place): Step | null {
  if (step === null) return null
  const { type } = require(step, ['type'], path)
  const needed = Object.hasOwn(NEEDED[place], String(type)) ? NEEDED[place][String(type)] : undefined
  if (!needed) throw new Error(`the ${place.replace('_', '-')} ${shown(type)} (${path}) is not supported`)
  const known = require(step, needed, path) as Step
  const [list] = type === 'Sequence' ? needed : []
  if (list) {
    const steps = known[list]
    if (!Array.isArray(steps)) throw new Error(`${path}.${list} must be a list`)
    return { ...known, steps: steps.map((inner, i) => stepOf(place, inner ?? null, `${path}.${list}.${i}`)) }
  }
  if (type === 'Metaspace') checkMetaspace(known, path)
  return known
}

/** Older files say add_prefix_space, newer ones prepend_scheme; the Rust library reads both, and refuses what does not agree. */
function checkMetaspace({ prepend_scheme: scheme = 'always', add_prefix_space: prefix }: Json, path: string): void {
  if (!['always', 'first', 'never'].includes(scheme as string))
    throw new Error(`${path}.prepend_scheme ${shown(scheme)} is unknown`)
  if (prefix === false && scheme !== 'never') throw new Error(`${path}.add_prefix_space does not agree with prepend_scheme`)
}

/** Files from before models had a type are told apart by what they have. */
function modelOf(model: unknown): Json {
  const known = require(model, [], 'model')
  const guessed = Array.isArray(known.vocab)
    ? 'Unigram'
    : 'merges' in known
      ? 'BPE'
      : 'continuing_subword_prefix' in known
        ? 'WordPiece'
        : 'WordLevel'
  const type = known.type ?? guessed
  const needed = Object.hasOwn(MODELS, String(type)) ? MODELS[String(type)] : undefined
  if (!needed) throw new Error(`the model ${shown(type)} (model.type) is not supported`)
  require(known, needed, 'model')
  if (type === 'BPE' && known.continuing_subword_prefix)
    throw new Error('model.continuing_subword_prefix is not supported with BPE')
  return { ...known, type }
}

function require(value: unknown, keys: readonly string[], path: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Error(`${path} must be an object`)
  const missing = keys.find((key) => (value as Json)[key] === undefined)
  if (missing !== undefined) throw new Error(`${path} lacks the key ${JSON.stringify(missing)}`)
  return value as Json
}

const shown = (value: unknown) => JSON.stringify(value)?.slice(0, 64)
