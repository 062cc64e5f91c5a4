/** What crosses between the main thread and the one that publishes. */
import type { MessagePort } from 'node:worker_threads'
import type { KvEventsSettings } from '../config/kv-events.ts'

export interface PublisherData {
  settings: KvEventsSettings
  blockSize: number
  /** From the engine (CacheListener). */
  port: MessagePort
  shared: Int32Array
}

export type FromPublisher =
  /** Where it publishes, ports settled. */
  | { type: 'ready'; endpoint: string; replayEndpoint?: string }
  | { type: 'unready'; message: string }
  | { type: 'warning'; message: string }

/** Nothing lies in the cache any more: that is told last, then it ends. */
export interface ToPublisher {
  type: 'end'
}
