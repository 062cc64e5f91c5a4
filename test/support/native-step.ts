/** A built model's graph run by the native engine alone: on the CPU in float32, else on the CUDA device, which may be emulated (emulated.ts). */
import type { AdapterImage } from '../../adapters-store/types.ts'
import { decodeStep, residentsOf } from '../../bench/decode-batch.ts'
import { loadNative, onnxRuntimeLibrary } from '../../native/index.ts'
import type { BuiltModel } from '../../runtime/model/index.ts'
import { siteShapesOf } from '../../runtime/model/sites.ts'

const BLOCK_SIZE = 16

/** Bytes of a pool block, for loading adapters. */
export const blockBytesOf = ({ dtype, layers, kvHeads, headDim }: BuiltModel) =>
  BLOCK_SIZE * layers * 2 * kvHeads * headDim * (dtype === 'float32' ? 4 : 2)

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
  const { dtype, vocabSize } = model
  const engine = await loadNative().createEngine(
    {
      device: dtype === 'float32' ? 'cpu' : 'cuda',
      library: onnxRuntimeLibrary(),
      model: model.graph,
      files: model.files,
      initializers: model.initializers,
      threads: 2,
      layers: model.layers,
      kvHeads: model.kvHeads,
      headDim: model.headDim,
      vocabSize,
      dtype,
      cacheDtype: dtype,
      blockSize: BLOCK_SIZE,
      blockCount: rows + adapters.reduce((sum, image) => sum + image.blocks, 0),
      maxBlockCount: 0,
      memoryFraction: 0,
      maxBatchTokens: rows,
      maxSequences: rows,
      maxModelLen: BLOCK_SIZE,
      maxSiteInputs: Math.max(...model.base.sites.map((site) => site.inFeatures)),
      headSite: model.base.sites.length - 1,
      captureGraphs: false,
      overlapLaunches: false,
      maxLogitsRows: rows,
      siteCount: model.siteCount,
      siteShapes: siteShapesOf(model.base.sites),
      adapterDtype: dtype,
    },
    () => {},
  )
  try {
    const residents = residentsOf(adapters, rows)
    for (const resident of residents) engine.putAdapter(resident)
    let logits = new Float32Array(0)
    for (let context = 0; context < tokens; context++) {
      const token = (row: number) => (row * 7919 + 11 + context) % vocabSize
      const step = { rows, context, blockSize: BLOCK_SIZE, vocabSize, adapters: residents, token, returnLogits: true }
      logits = (await decodeStep(engine, step)).logits as typeof logits
    }
    return logits
  } finally {
    engine.close()
  }
}
