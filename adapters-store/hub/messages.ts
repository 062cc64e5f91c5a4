/** What passes between the server's thread and the one that downloads. */
import type { AdapterErrorCode } from '../errors.ts'
import type { HubFolder, HubProgress } from './hub.ts'
import type { HubName } from './name.ts'
import type { HubSettings } from './settings.ts'
import type { HubKind } from './wanted.ts'

/** What the thread is started with. */
export interface DownloadThreadData {
  settings: HubSettings
}

/** `leave`: who asked does not wait any more. */
export type DownloadRequest =
  | { type: 'fetch'; id: number; name: HubName; kind: HubKind; maxBytes?: number }
  | { type: 'leave'; id: number }

export type DownloadReply =
  | { type: 'fetched'; id: number; folder: HubFolder }
  | { type: 'failed'; id: number; code: AdapterErrorCode; message: string; detail: string }
  | { type: 'progress'; progress: HubProgress }
  | { type: 'warning'; message: string }
