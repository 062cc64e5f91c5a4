/** What crosses between the main thread and the engine's. */
import type {
  AdapterImage,
  CachedBlocks,
  CacheListener,
  EngineInfo,
  EngineSettings,
  EngineSnapshot,
  MaskThread,
  PoolLook,
  ResidentChanges,
  SequenceOutput,
  StepTimes,
} from '../types.ts'
import type { PackedRequest } from './packed-request.ts'

export type ToEngine =
  | { type: 'submit'; request: PackedRequest }
  | { type: 'abort'; id: string }
  | { type: 'adapter'; image: AdapterImage }
  | { type: 'removeAdapter'; digest: string }
  | { type: 'maskThread'; thread: MaskThread }
  | { type: 'removeMaskThread'; id: number }
  /** Answered with `pool` at once, or after the planning that is under way. */
  | { type: 'look'; whole: boolean }
  | { type: 'tellCache'; listener: CacheListener }
  /** Answered with `cached` at once. */
  | { type: 'cached' }
  /** Answered with `idle` as soon as nothing is in flight. */
  | { type: 'whenIdle'; ticket: number }
  | { type: 'close' }

export type FromEngine =
  | { type: 'progress'; fraction: number }
  | { type: 'ready'; info: EngineInfo; snapshot: EngineSnapshot }
  | { type: 'unready'; code: string; message: string }
  /** One a step. The snapshot comes along when the last one is old enough, and when the engine falls idle. */
  | { type: 'step'; outputs: SequenceOutput[]; steps?: StepTimes[]; residents?: ResidentChanges; snapshot?: EngineSnapshot }
  | { type: 'pool'; look: PoolLook }
  | { type: 'cached'; blocks: CachedBlocks | undefined }
  | { type: 'idle'; ticket: number; snapshot: EngineSnapshot }
  | { type: 'warning'; message: string }
  | { type: 'failed'; message: string }
  | { type: 'closed' }

export interface WorkerData {
  settings: EngineSettings
}
