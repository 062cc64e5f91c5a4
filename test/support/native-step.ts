/** A built model's graph run by the native engine alone, on the CPU. */
import type { AdapterImage } from '../../adapters-store/types.ts'
import { decodeBatch, residentsOf } from '../../bench/decode-batch.ts'
import { loadNative, onnxRuntimeLibrary } from '../../native/index.ts'
import type { BuiltModel } from '../../runtime/model/index.ts'

const BLOCK_SIZE = 16

/** Bytes of a pool block, for loading adapters. */
export const blockBytesOf = (model: BuiltModel) => BLOCK_SIZE * model.layers * 2 * model.kvHeads * model.headDim * 4

/** Logits of `rows` sequences of one token, one row after the other; row r on adapter r mod adapters.length, or on the base. Adapters are in float32. */
export async function logitsOfRows(model: BuiltModel, rows: number, adapters: AdapterImage[] = []): Promise<Float32Array> {
  const engine = await loadNative().createEngine(
    {
      device: 'cpu',
      library: onnxRuntimeLibrary(),
      model: model.graph,
      files: model.files,
      initializers: model.initializers,
      threads: 2,
      layers: model.layers,
      kvHeads: model.kvHeads,
      headDim: model.headDim,
      vocabSize: model.vocabSize,
      dtype: 'float32',
      cacheDtype: 'float32',
      blockSize: BLOCK_SIZE,
      blockCount: rows + adapters.reduce((sum, image) => sum + image.blocks, 0),
      maxBlockCount: 0,
      memoryFraction: 0,
      maxBatchTokens: rows,
      maxSequences: rows,
      maxModelLen: 1,
      maxSiteInputs: 0,
      headSite: -1,
      captureGraphs: false,
      siteCount: model.siteCount,
      adapterDtype: 'float32',
    },
    () => {},
  )
  try {
    const residents = residentsOf(adapters, rows)
    for (const resident of residents) engine.putAdapter(resident)
    const batch = decodeBatch({ rows, context: 0, blockSize: BLOCK_SIZE, vocabSize: model.vocabSize, adapters: residents })
    const { logits } = await engine.step({ ...batch, returnLogits: true })
    return logits as Float32Array
  } finally {
    engine.close()
  }
}
