/** What crosses between the main thread and those that compile grammars and make masks (thread.ts). */
import type { MessagePort } from 'node:worker_threads'
import type { Source } from './convert.ts'
import type { Vocabulary } from './vocabulary.ts'

export type Order =
  /** Answered with `ready`, once grammars can be compiled for it. */
  | { type: 'vocabulary'; vocabulary: Vocabulary }
  /** A constraint as JSON. Answered with `tried`; nothing of it is kept. */
  | { type: 'try'; job: number; vocabulary: number; text: string }
  /** Kept as `grammar`; answered with `compiled`. */
  | { type: 'compile'; grammar: number; vocabulary: number; source: Source }
  | { type: 'drop'; grammar: number }
  /** Where the engine asks for masks, and where they are written: a place of `stride` words for each slot. */
  | { type: 'engine'; port: MessagePort; places: Uint32Array; stride: number }
  | { type: 'ping' }

export type Report =
  | { type: 'ready'; vocabulary: number }
  /** `milliseconds` that compiling takes. */
  | { type: 'tried'; job: number; source: Source; milliseconds: number }
  /** Why a constraint cannot be had, and where in it. */
  | { type: 'refused'; job: number; at: string; message: string }
  /** `bytes`: of all that the thread holds. */
  | { type: 'compiled'; grammar: number; bytes: number }
  | { type: 'failed'; grammar: number; message: string }
  | { type: 'pong' }

export interface ThreadData {
  /** Bytes of XGrammar's memory. */
  mostBytes: number
  /** Of low priority: it makes no masks. */
  trial: boolean
}
