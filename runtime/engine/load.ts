/** From settings to a native engine with its pool sized, and what the server needs to know of it. */
import { cudaLibrary, loadNative, onnxRuntimeLibrary } from '../../native/index.ts'
import type { AdapterDtype, NativeAddon, NativeEngine, TensorType } from '../../native/types.ts'
import { computingThreads } from '../cores.ts'
import { EngineError } from '../errors.ts'
import { blockBytesOf } from '../model/block-size.ts'
import { frameBytesOf } from '../model/frame-size.ts'
import { type BuiltModel, buildModel, defaultBlockSize } from '../model/index.ts'
import { siteOptions } from '../model/sites.ts'
import { maxLogitsRows } from '../scheduler/admission.ts'
import type { EngineInfo, EngineSettings, SpeculationSettings } from '../types.ts'
import { settleWeightFile, weightFileOf } from './weight-cache.ts'

/** Blocks below which nothing sensible runs: a sequence and an adapter beside it. */
const LEAST_BLOCKS = 4
/** Block ids, times 2 · layers, are 32-bit integers in the graph; so are slots. */
const MOST_SLOTS = 2 ** 31 - 1
const CPU_BLOCK_SIZE = 16

/** Limits below one would leave the scheduler with nothing it may ever do. */
function checkLimits(settings: EngineSettings): void {
  for (const [name, value] of [
    ['--block-size', settings.blockSize ?? CPU_BLOCK_SIZE],
    ['--max-batch-tokens', settings.maxBatchTokens],
    ['--max-sequences', settings.maxSequences],
    ['--speculative-config num_speculative_tokens', settings.speculation?.tokens ?? 1],
  ] as const)
    if (!Number.isInteger(value) || value < 1)
      throw new EngineError('invalid_settings', `${name} must be a positive integer, not ${value}`)
  const { device, blockSize } = settings
  // com.microsoft.PagedAttention takes no other.
  if (device === 'cuda' && blockSize !== undefined && (blockSize < 16 || (blockSize & (blockSize - 1)) !== 0))
    throw new EngineError('invalid_settings', `--block-size ${blockSize} must be a power of two of 16 or more with --device cuda`)
}

/** Blocks that the settings ask for (0: as many as fit), and the most that the graph's integers can name. */
function poolOf(
  settings: EngineSettings,
  model: BuiltModel,
  blockSize: number,
): { count: number; most: number; blockBytes: number } {
  const blockBytes = blockBytesOf(model, settings.device, blockSize)
  const most = Math.floor(MOST_SLOTS / (2 * model.layers * blockSize))
  if (settings.poolBytes === undefined) {
    if (settings.device === 'cuda') return { count: 0, most, blockBytes }
    throw new EngineError('invalid_settings', '--pool must be given with --device cpu')
  }
  const count = Math.min(most, Math.floor(settings.poolBytes / blockBytes))
  if (count < LEAST_BLOCKS)
    throw new EngineError(
      'invalid_settings',
      `--pool ${settings.poolBytes} bytes holds ${count} blocks of ${blockBytes} bytes; at least ${LEAST_BLOCKS * blockBytes} bytes are needed`,
    )
  return { count, most, blockBytes }
}

/** Element type of rank rows. */
function rowsDtype({ device, adapterDtype }: EngineSettings, dtype: TensorType): AdapterDtype {
  if (adapterDtype === 'auto') return device === 'cuda' ? dtype : 'float16'
  if (device === 'cuda' && adapterDtype === 'int8')
    throw new EngineError(
      'invalid_settings',
      '--adapter-dtype int8 needs --device cpu: on CUDA rank rows are as the activations; leave it at auto',
    )
  if (device === 'cuda' && adapterDtype !== dtype)
    throw new EngineError(
      'invalid_settings',
      `--adapter-dtype ${adapterDtype} differs from the model's ${dtype}; on CUDA they are one: leave it at auto`,
    )
  return adapterDtype
}

const lookupOf = ({ shortest, longest }: SpeculationSettings) => ({ shortest, longest })

function deviceName(addon: NativeAddon, { device }: EngineSettings): string {
  if (device === 'cpu') return addon.info().simd
  const found = addon.cudaDevice()
  if ('missing' in found) throw new EngineError('invalid_settings', `--device cuda: ${found.missing}`)
  return found.name
}

/** All that is decided before weights are read. */
export interface EnginePlan {
  model: BuiltModel
  adapterDtype: AdapterDtype
  blockSize: number
  /** Blocks; `count` 0: as many as the device has room for. */
  pool: { count: number; most: number; blockBytes: number }
  frameBytes: number
}

/** Reads configs and headers. Throws EngineError and ModelError for what cannot be served. */
export function planEngine(settings: EngineSettings): EnginePlan {
  checkLimits(settings)
  const { device, quantization, maxModelLen } = settings
  const chosen = <T>(setting: T | 'auto' | undefined) => (setting === 'auto' ? undefined : setting)
  const model = buildModel(settings.modelDir, {
    device,
    dtype: chosen(settings.dtype),
    cacheDtype: chosen(settings.cacheDtype),
    quantization,
    maxModelLen,
    extraTokens: settings.extraTokens,
  })
  const adapterDtype = rowsDtype(settings, model.dtype)
  const blockSize = settings.blockSize ?? (device === 'cuda' ? defaultBlockSize(model.headDim) : CPU_BLOCK_SIZE)
  const pool = poolOf(settings, model, blockSize)
  const frameBytes = frameBytesOf(model.base.sites, adapterDtype, pool.blockBytes, settings.leastFrameBytes)
  return { model, adapterDtype, blockSize, pool, frameBytes }
}

/** The type that a user knows the model by: on the CPU activations are float32 whatever the weights are. */
export const namedDtype = ({ dtype, weights }: BuiltModel): TensorType =>
  weights === 'float16' || weights === 'bfloat16' ? weights : dtype

export async function loadEngine(
  settings: EngineSettings,
  onProgress: (fraction: number) => void,
): Promise<{ native: NativeEngine; info: EngineInfo }> {
  const { device, maxBatchTokens, maxSequences } = settings
  const { model, adapterDtype, blockSize, pool, frameBytes } = planEngine(settings)
  const { dtype, cacheDtype } = model
  const addon = loadNative()
  const { weightCache } = settings
  const { packedLayout } = addon.info()
  const packedFile = weightCache && weightFileOf(weightCache, model, packedLayout)
  const name = deviceName(addon, settings)
  const headless = !model.base.sites.some(({ kind }) => kind === 'head')
  const native = await addon.createEngine(
    {
      device,
      library: (device === 'cuda' && cudaLibrary()) || onnxRuntimeLibrary(),
      model: model.graph,
      files: model.files,
      initializers: model.initializers,
      packedFile,
      threads: settings.threads > 0 ? settings.threads : computingThreads(),
      cpus: settings.cpus,
      memoryNodes: settings.memoryNodes,
      layers: model.layers,
      kvHeads: model.kvHeads,
      headDim: model.headDim,
      vocabSize: model.vocabSize,
      blockSize,
      blockCount: pool.count,
      maxBlockCount: pool.most,
      ...siteOptions(model.base),
      dtype,
      adapterDtype,
      frameBytes,
      cacheDtype,
      memoryFraction: settings.memoryFraction ?? 0.9,
      maxBatchTokens,
      maxSequences,
      maxModelLen: model.maxModelLen,
      headless,
      maxLogitsRows: headless ? 0 : maxLogitsRows(maxSequences),
      captureGraphs: settings.captureGraphs ?? true,
      overlapLaunches: settings.overlapLaunches ?? false,
      ...(settings.speculation && !headless && { lookup: lookupOf(settings.speculation) }),
    },
    onProgress,
  )
  if (weightCache && packedFile) settleWeightFile(weightCache, packedFile, model, packedLayout)
  const { blockCount, blockBytes } = native
  return {
    native,
    info: {
      modelType: model.base.modelType,
      hiddenSize: model.base.hiddenSize,
      ...(headless && { headless }),
      classifier: model.classifier,
      vocabSize: model.vocabSize,
      addedTokens: model.base.added?.count ?? 0,
      // A sequence that the whole pool cannot hold could never be finished.
      maxModelLen: Math.min(model.maxModelLen, blockCount * blockSize),
      eosTokenIds: model.eosTokenIds,
      blockSize,
      blockCount,
      blockBytes,
      frameBytes,
      device,
      deviceName: name,
      dtype: namedDtype(model),
      cacheDtype,
      adapterDtype,
      slots: maxSequences,
      maskWords: Math.ceil((model.vocabSize + (model.base.added?.count ?? 0)) / 32),
    },
  }
}
