/** A built model's graph run by the native engine alone: on the CPU in float32, else on the CUDA device, which may be emulated (emulated.ts). */
import type { AdapterImage } from '../../adapters-store/types.ts'
import { decodeStep, residentsOf } from '../../bench/decode-batch.ts'
import { loadNative, onnxRuntimeLibrary } from '../../native/index.ts'
import type { EngineOptions, NativeEngine } from '../../native/types.ts'
import { blockBytesOf as bytesOf } from '../../runtime/model/block-size.ts'
import type { BuiltModel } from '../../runtime/model/index.ts'
import { siteOptions } from '../../runtime/model/sites.ts'

const BLOCK_SIZE = 16

/** Bytes of a pool block, for loading adapters. */
export const blockBytesOf = (model: BuiltModel) => bytesOf({ ...model, cacheDtype: model.dtype }, deviceOf(model), BLOCK_SIZE)

const deviceOf = ({ dtype }: BuiltModel) => (dtype === 'float32' ? 'cpu' : 'cuda')

/** What differs from test to test; the rest follows from the model, or is as little as there can be. */
type Chosen = Pick<EngineOptions, 'blockSize' | 'blockCount' | 'maxBatchTokens' | 'maxSequences' | 'maxModelLen'> &
  Partial<EngineOptions>

/** The native engine alone on a built model, adapters and cache in the model's type. */
export function startNativeEngine(model: BuiltModel, chosen: Chosen): Promise<NativeEngine> {
  const { graph, files, initializers, layers, kvHeads, headDim, vocabSize, dtype, base } = model
  const shape = { model: graph, files, initializers, layers, kvHeads, headDim, vocabSize }
  const types = { device: deviceOf(model), dtype, cacheDtype: dtype, adapterDtype: dtype } as const
  const sites = { ...siteOptions(base), headSite: -1, addedHeadSite: -1 }
  const session = {
    library: onnxRuntimeLibrary(),
    threads: 1,
    memoryFraction: 0,
    maxBlockCount: 0,
    captureGraphs: false,
    overlapLaunches: false,
    maxLogitsRows: chosen.maxSequences,
  }
  return loadNative().createEngine({ ...shape, ...types, ...sites, ...session, ...chosen }, () => {})
}

/**
 * Logits of the last of `tokens` tokens of `rows` sequences, one row after the other; row r on adapter r mod adapters.length, or on the base. Adapters are in
 * the model's type.
 */
export async function logitsOfRows(
  model: BuiltModel,
  rows: number,
  adapters: AdapterImage[] = [],
  tokens = 1,
): Promise<Float32Array> {
  const { vocabSize } = model
  const engine = await startNativeEngine(model, {
    threads: 2,
    blockSize: BLOCK_SIZE,
    blockCount: rows + adapters.reduce((sum, image) => sum + image.blocks, 0),
    maxBatchTokens: rows,
    maxSequences: rows,
    maxModelLen: BLOCK_SIZE,
    headSite: model.base.sites.length - 1,
  })
  try {
    const residents = residentsOf(adapters, rows)
    for (const resident of residents) engine.putAdapter(resident)
    let logits = new Float32Array(0)
    for (let context = 0; context < tokens; context++) {
      const token = (row: number) => (row * 7919 + 11 + context) % vocabSize
      const step = { rows, context, blockSize: BLOCK_SIZE, vocabSize, adapters: residents, token, returnLogits: true }
      logits = (await decodeStep(engine, step)).logits as typeof logits
    }
    const width = logits.length / rows
    // What adapters may add to the vocabulary stands behind it.
    return logits.filter((_, i) => i % width < vocabSize)
  } finally {
    engine.close()
  }
}
