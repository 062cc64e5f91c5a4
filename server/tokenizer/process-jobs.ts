/** What the processes that read requests' texts are given to do, and what they answer. */
import type { ChatMessage, RenderOptions } from '../types.ts'

/** Texts to token ids, by the model's tokenizer, or by one that the process was taught. */
export interface EncodeJob {
  kind: 'encode'
  /** Digest of the latter. */
  tokenizer?: string
  texts: readonly string[]
  addSpecialTokens: boolean
}

/** A conversation to text, by a template. */
export interface RenderJob {
  kind: 'render'
  source: string
  /** The model's special tokens by name. */
  tokens: Record<string, string>
  messages: ChatMessage[]
  options: RenderOptions
}

/** What an adapter has of its own, tried: a tokenizer, which the process keeps, or a template. */
export interface LearnJob {
  kind: 'learn'
  digest: string
  /** JSON: fields that take the place of those of the base's tokenizer.json; null: it has none. */
  definition?: Uint8Array
  specialIds: readonly number[]
  /** What it renders with. */
  templates: readonly string[]
  tokens: Record<string, string>
}

/** A vocabulary's spellings as plain memory: `text` (UTF-8) of token i begins at `at[i]` and has `size[i]` bytes, -1: there is no such token. */
export interface Spellings {
  text: Uint8Array
  at: Int32Array
  size: Int32Array
  /** UTF-16 units of the longest. */
  longest: number
  /** tokenizer.json's. */
  decoder: Record<string, unknown> | null
}

export type Job = EncodeJob | RenderJob | LearnJob

/** What a process is sent: a job, and how long it may take. */
export interface Order {
  job: Job
  milliseconds: number
}

/** `template`: the error is the template's own. `unknown`: the process has not been taught the tokenizer, or has let it go. */
export type Answer =
  | { ids: Int32Array[] }
  | { text: string }
  | { spellings: Spellings | undefined }
  | { unknown: string }
  | { error: string; template: boolean }

/** UTF-16 units that a template may make. */
export const MOST_RENDERED = 16 << 20
