/** What a folder's small files say of its tokens and its chat template, a base's and an adapter's alike. */

import { jsonReason } from '../checkpoint/index.ts'
import { AdapterError } from '../errors.ts'
import type { AdapterText } from '../types.ts'
import type { Json } from './definition.ts'
import { CHAT_TEMPLATE, GENERATION_CONFIG, SPECIAL_TOKENS, TOKENIZER_CONFIG } from './files.ts'

/** The bytes of a folder's file; undefined: it has none of that name. */
export type Read = (name: string) => Uint8Array | undefined

/** Special tokens that have a name, which templates may use. */
const NAMED = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token'] as const

export interface Said {
  /** Special tokens by name. */
  tokens: Record<string, string>
  /** Further ones. */
  further: string[]
  template?: string
  /** Beside it, the one for conversations with tools. */
  toolTemplate?: string
  /** Chat templates that have a name, where none is the default. */
  named: string[]
  /** Tokens with the ids that the config gives them. */
  decoder: [text: string, id: number][]
  /** Of generation_config.json. */
  endTokenIds: number[]
  /** Names of the formats that its messages are written in, as the config has them. */
  parsers: NonNullable<AdapterText['parsers']>
}

/** Throws AdapterError, naming the file, for what cannot be read. */
export function saidBy(read: Read): Said {
  const config = jsonOf(read, TOKENIZER_CONFIG) ?? {}
  const map = jsonOf(read, SPECIAL_TOKENS) ?? {}
  const tokens: Record<string, string> = {}
  const add = (name: string, text: string | undefined) => {
    if (text !== undefined) tokens[name] = text
  }
  for (const name of NAMED) add(name, tokenText(config[name]) ?? tokenText(map[name]))
  // Those that only this model has (image_token).
  for (const name of Object.keys(config)) if (name.endsWith('_token') && !(name in tokens)) add(name, tokenText(config[name]))
  for (const own of [config.extra_special_tokens, config.model_specific_special_tokens])
    if (typeof own === 'object' && own !== null && !Array.isArray(own))
      for (const [name, value] of Object.entries(own)) add(name, tokenText(value))
  const lists = [config.additional_special_tokens, config.extra_special_tokens, map.additional_special_tokens]
  const further = lists.flatMap((list) => (typeof list === 'object' && list !== null ? Object.values(list) : []))
  const file = read(CHAT_TEMPLATE)
  const { chat_template } = config
  const named = Array.isArray(chat_template) ? (chat_template as { name?: unknown; template?: unknown }[]) : []
  const inConfig = typeof chat_template === 'string' ? chat_template : named.find(({ name }) => name === 'default')?.template
  if (inConfig !== undefined && typeof inConfig !== 'string')
    throw invalid(TOKENIZER_CONFIG, 'its default chat template is no text')
  const template = file === undefined ? inConfig : textOf(file, CHAT_TEMPLATE)
  const forTools = named.find(({ name }) => name === 'tool_use')?.template
  return {
    tokens,
    further: further.map(tokenText).filter((text) => text !== undefined),
    template,
    toolTemplate: file === undefined && template !== undefined && typeof forTools === 'string' ? forTools : undefined,
    named: template === undefined ? named.map(({ name }) => String(name)) : [],
    decoder: decoderOf(config),
    endTokenIds: endTokensOf(jsonOf(read, GENERATION_CONFIG) ?? {}),
    parsers: parsersOf(config),
  }
}

function parsersOf({ tool_call_parser: tools, reasoning_parser: reasoning }: Json): Said['parsers'] {
  for (const [name, value] of Object.entries({ tool_call_parser: tools, reasoning_parser: reasoning }))
    if (value != null && typeof value !== 'string') throw invalid(TOKENIZER_CONFIG, `${name} must be a name`)
  return { ...(tools != null && { tools: tools as string }), ...(reasoning != null && { reasoning: reasoning as string }) }
}

/** The object that a file holds; undefined where there is no such file. */
export function jsonOf(read: Read, name: string): Json | undefined {
  const bytes = read(name)
  return bytes && parsed(bytes, name)
}

export function parsed(bytes: Uint8Array, name: string): Json {
  let value: unknown
  try {
    value = JSON.parse(textOf(bytes, name))
  } catch (error) {
    if (error instanceof AdapterError) throw error
    throw invalid(name, `it is not JSON: ${jsonReason(error)}`)
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Json
  throw invalid(name, 'it is not a JSON object')
}

export const invalid = (name: string, why: string) => new AdapterError('adapter_tokenizer_invalid', `${name}: ${why}`)

function textOf(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    throw invalid(name, 'it is not UTF-8')
  }
}

/** A token: its text, or an object that holds it. */
function tokenText(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  const content = (value as { content?: unknown } | null | undefined)?.content
  return typeof content === 'string' ? content : undefined
}

function decoderOf({ added_tokens_decoder }: Json): [string, number][] {
  if (typeof added_tokens_decoder !== 'object' || added_tokens_decoder === null) return []
  return Object.entries(added_tokens_decoder).flatMap(([id, token]) => {
    const text = tokenText(token)
    return text === undefined ? [] : [[text, Number(id)] as [string, number]]
  })
}

function endTokensOf({ eos_token_id }: Json): number[] {
  const ids = [eos_token_id ?? []].flat()
  if (!ids.every((id) => Number.isInteger(id)))
    throw invalid(GENERATION_CONFIG, 'eos_token_id must be a token id or a list of them')
  return ids as number[]
}
