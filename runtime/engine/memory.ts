/** How much memory an engine takes beside its pool, reckoned from what is known before its weights are read. */
import { elementBytes } from '../../native/floats.ts'
import type { InitializerRef, StoredPacking, WeightForm } from '../../native/types.ts'
import { EMBEDDING } from '../model/sites.ts'
import { maxLogitsRows } from '../scheduler/admission.ts'
import type { EngineSettings } from '../types.ts'
import type { EnginePlan } from './load.ts'

/** Inputs that share a scale in packed weights, and outputs of a tile at most (native/kernels/linear.h, linear_layout.h). */
const GROUP = 32
const TILE = 32
/** Bytes that an output's group takes in each form, and of its scale beside the groups. */
const GROUP_BYTES: Record<WeightForm | StoredPacking, number> = {
  float16: 64,
  bfloat16: 64,
  int8: 32,
  int4: 20,
  uint8: 36,
  uint4: 20,
}
const HEAD_BYTES: Record<WeightForm | StoredPacking, number> = { float16: 0, bfloat16: 0, int8: 4, int4: 4, uint8: 4, uint4: 4 }

export interface EngineMemory {
  /** As they are computed with. */
  weights: number
  /** Rope tables and what else the graph itself carries. */
  graph: number
  /** Activations of the largest step, and its logits. */
  workspace: number
}

/** Bytes. On CUDA they are the device's. */
export function engineMemory({ model }: EnginePlan, settings: EngineSettings): EngineMemory {
  const { graph, initializers, base, vocabSize } = model
  const headless = !base.sites.some(({ kind }) => kind === 'head')
  const widths = base.sites.filter(({ kind }) => kind === 'linear').flatMap((site) => [site.inFeatures, site.outFeatures])
  // Of a layer the widest product's two sides twice (gate and up), and the residual with its norm.
  const row = 4 * Math.max(0, ...widths) + 4 * base.hiddenSize
  const element = elementBytes(model.dtype)
  const logitsRow = vocabSize + (base.added?.count ?? 0)
  const logits = headless ? 0 : 2 * maxLogitsRows(settings.maxSequences) * logitsRow * element
  const weights = settings.device === 'cuda' ? onDevice(initializers) : onCpu(initializers) + headBeside(model)
  return { weights, graph: graph.byteLength, workspace: settings.maxBatchTokens * row * element + logits }
}

/** Packed ones in their form. ONNX Runtime multiplies in float32 and packs those weights anew, whatever they lie in; of a table rows are read where the file is mapped. */
function onCpu(initializers: readonly InitializerRef[]): number {
  const table = `${EMBEDDING}.weight`
  return initializers.reduce((sum, ref) => {
    if (ref.pack) return sum + packedBytes(ref.pack, ref.shape)
    if (ref.zeros || ref.name !== table) return sum + 4 * elementsOf(ref)
    return sum + ref.length
  }, 0)
}

/** In float32 a tied table stays as it is beside the head that ONNX Runtime packs it to. */
function headBeside({ base, weights, vocabSize }: EnginePlan['model']): number {
  return base.tiedEmbeddings && !weights && base.sites.some(({ kind }) => kind === 'head') ? 4 * vocabSize * base.hiddenSize : 0
}

/** Bytes of a packed [out, in] weight, to a tile. */
export function packedBytes(form: WeightForm | StoredPacking, [out, inputs]: number[]): number {
  const outputs = Math.ceil(out / TILE) * TILE
  return outputs * (HEAD_BYTES[form] + Math.ceil(inputs / GROUP) * GROUP_BYTES[form])
}

function onDevice(initializers: readonly InitializerRef[]): number {
  return initializers.reduce((sum, { as, dtype, quantize, shape }) => {
    const element = elementBytes(as ?? dtype)
    if (!quantize) return sum + element * elementsOf({ shape })
    const blocks = shape[0] * Math.ceil(shape[1] / quantize.block)
    return sum + blocks * ((quantize.block * quantize.bits) / 8 + element)
  }, 0)
}

const elementsOf = ({ shape }: Pick<InitializerRef, 'shape'>) => shape.reduce((product, size) => product * size, 1)
