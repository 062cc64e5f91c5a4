/** What EngineCore is made with: the engine's settings as far as it schedules by them, and what model and device say. */
export interface CoreSettings {
  blockCount: number
  blockSize: number
  /** Of the adapters' images. Absent: a block's, which are not divided. */
  frameBytes?: number
  vocabSize: number
  maxModelLen: number
  maxBatchTokens: number
  maxSequences: number
  prefixCache: boolean
  /** See EngineSettings. */
  longPrefillTokens?: number
  maxStepMs?: number
  fair?: boolean
  adapterCluster?: number
  clock?: () => number
  draftTokens?: number
  /** Adapters' bytes travel by the device's own means, beside a step (CUDA). */
  copiesAside: boolean
  /** The next step is planned and queued while one runs. */
  overlap: boolean
  validate: boolean
}
