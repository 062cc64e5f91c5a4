/** What of a tokenizer.json decides on tokens, in a form in which equal ones are equal: trainers write a base's tokenizer anew into every adapter's folder. */
import { createHash } from 'node:crypto'

export type Json = Record<string, unknown>

/** How a tokenizer was used last, and by which library: no token depends on them. */
const IDLE = new Set(['version', 'truncation', 'padding'])
/** Fields of a model that older libraries leave out where newer ones write what they are without. */
const ABSENT: Json = {
  dropout: null,
  unk_token: null,
  continuing_subword_prefix: null,
  end_of_word_suffix: null,
  fuse_unk: false,
  byte_fallback: false,
  ignore_merges: false,
}

/** SHA-256 of each part, by its key. */
export function partsOf(definition: Json): Record<string, string> {
  const parts: Record<string, string> = {}
  for (const [key, value] of Object.entries(definition)) {
    if (IDLE.has(key)) continue
    const plain = key === 'model' ? modelOf(value) : key === 'added_tokens' ? byId(value) : value
    parts[key] = createHash('sha256')
      .update(JSON.stringify(canonical(plain)))
      .digest('hex')
  }
  return parts
}

/** Tokens of the vocabulary with their ids, the added ones last. */
export function* entriesOf(definition: Json): Generator<[text: string, id: number]> {
  const vocab = (definition.model as Json | undefined)?.vocab
  if (Array.isArray(vocab)) for (const [id, piece] of vocab.entries()) yield [String((piece as unknown[])[0]), id]
  else yield* Object.entries((vocab ?? {}) as Record<string, number>)
  for (const { content, id } of addedOf(definition)) yield [content, id]
}

interface AddedToken {
  content: string
  id: number
  special?: boolean
}

export const addedOf = (definition: Json) => (definition.added_tokens ?? []) as AddedToken[]

function byId(added: unknown): unknown {
  return Array.isArray(added) ? [...(added as AddedToken[])].sort((a, b) => a.id - b.id) : added
}

function modelOf(model: unknown): unknown {
  if (typeof model !== 'object' || model === null) return model
  const { merges, ...rest } = model as Json
  const said = Object.entries(rest).filter(([key, value]) => !(key in ABSENT && (value === ABSENT[key] || value === '')))
  // "a b" in older files is ["a", "b"] in newer ones.
  const pairs = Array.isArray(merges)
    ? merges.map((merge) => (typeof merge === 'string' && merge.split(' ').length === 2 ? merge.split(' ') : merge))
    : merges
  return { ...Object.fromEntries(said), merges: pairs }
}

/** Keys in order. */
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  // As a list: an object would put keys that are numbers first.
  return { o: entries.flatMap(([key, inner]) => [key, canonical(inner)]) }
}
