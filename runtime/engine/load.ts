/** From settings to a native engine with its pool sized, and what the server needs to know of it. */
import { availableParallelism } from 'node:os'
import { loadNative, onnxRuntimeLibrary } from '../../native/index.ts'
import type { NativeEngine } from '../../native/types.ts'
import { EngineError } from '../errors.ts'
import { buildModel } from '../model/index.ts'
import type { EngineInfo, EngineSettings } from '../types.ts'

/** Blocks below which nothing sensible runs: a sequence and an adapter beside it. */
const LEAST_BLOCKS = 4
/** Block ids, times 2 · layers, are 32-bit integers in the graph; so are slots. */
const MOST_SLOTS = 2 ** 31 - 1

/** Limits below one would leave the scheduler with nothing it may ever do. */
function checkLimits(settings: EngineSettings): void {
  for (const [name, value] of [
    ['--block-size', settings.blockSize],
    ['--max-batch-tokens', settings.maxBatchTokens],
    ['--max-sequences', settings.maxSequences],
  ] as const)
    if (!Number.isInteger(value) || value < 1)
      throw new EngineError('invalid_settings', `${name} must be a positive integer, not ${value}`)
}

export async function loadEngine(
  settings: EngineSettings,
  onProgress: (fraction: number) => void,
): Promise<{ native: NativeEngine; info: EngineInfo }> {
  checkLimits(settings)
  const model = buildModel(settings.modelDir, { dtype: settings.dtype, maxModelLen: settings.maxModelLen })
  const { blockSize } = settings
  const blockBytes = blockSize * model.layers * 2 * model.kvHeads * model.headDim * Float32Array.BYTES_PER_ELEMENT
  const most = Math.floor(MOST_SLOTS / (2 * model.layers * blockSize))
  const blockCount = Math.min(most, Math.floor(settings.poolBytes / blockBytes))
  if (blockCount < LEAST_BLOCKS)
    throw new EngineError(
      'invalid_settings',
      `--pool ${settings.poolBytes} bytes holds ${blockCount} blocks of ${blockBytes} bytes; at least ${LEAST_BLOCKS * blockBytes} bytes are needed`,
    )
  const addon = loadNative()
  const native = await addon.createEngine(
    {
      library: onnxRuntimeLibrary(),
      model: model.graph,
      files: model.files,
      initializers: model.initializers,
      threads: settings.threads > 0 ? settings.threads : availableParallelism(),
      layers: model.layers,
      kvHeads: model.kvHeads,
      headDim: model.headDim,
      vocabSize: model.vocabSize,
      blockSize,
      blockCount,
      siteCount: model.siteCount,
      adapterDtype: settings.adapterDtype,
    },
    onProgress,
  )
  return {
    native,
    info: {
      modelType: model.base.modelType,
      vocabSize: model.vocabSize,
      // A sequence that the whole pool cannot hold could never be finished.
      maxModelLen: Math.min(model.maxModelLen, blockCount * blockSize),
      eosTokenIds: model.eosTokenIds,
      blockSize,
      blockCount,
      blockBytes,
      simd: addon.info().simd,
    },
  }
}
