/** What the processes that read requests' texts are given to do, and what they answer. */
import type { ChatMessage, RenderOptions } from '../types.ts'

/** Texts to token ids, by the model's tokenizer. */
export interface EncodeJob {
  kind: 'encode'
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

export type Job = EncodeJob | RenderJob

/** What a process is sent: a job, and how long it may take. */
export interface Order {
  job: Job
  milliseconds: number
}

/** `template`: the error is the template's own. */
export type Answer = { ids: Int32Array[] } | { text: string } | { error: string; template: boolean }

/** UTF-16 units that a template may make. */
export const MOST_RENDERED = 16 << 20
