/**
 * q, k and v as one product, and gate and up as another: the same bits as products of their own, with adapters on any of them. The weights are converted, taken as
 * they lie, or quantized.
 */
import t from 'tap'
import { loadAdapter } from '../../adapters-store/index.ts'
import type { BaseModel } from '../../adapters-store/types.ts'
import { encodeFloats } from '../../native/floats.ts'
import { Cuda } from '../../runtime/model/devices/cuda.ts'
import { type BuildOptions, type BuiltModel, buildModel } from '../../runtime/model/index.ts'

import { floats, type Tensors, writeAdapter } from '../adapters-store/write-adapter.ts'
import { needsEmulated } from '../support/emulated.ts'
import { withHeadsOf16 } from '../support/model-folder.ts'
import { blockBytesOf, logitsOfRows } from '../support/native-step.ts'
import { temporaryFolder } from '../support/repo.ts'

const RANK = 4
const TOKENS = 3

/** A LoRA, or with `dora` a DoRA, on every layer's projections of these names. */
function adapterOn(t: Parameters<typeof temporaryFolder>[0], base: BaseModel, targets: string[], dora = false): string {
  const tensors: Tensors = {}
  let seed = targets.join().length
  for (const { module, inFeatures, outFeatures } of base.sites) {
    if (!targets.some((target) => module.endsWith(target))) continue
    const name = `base_model.model.${module}`
    const value = (i: number) => Math.sin(i * 1.7 + seed)
    tensors[`${name}.lora_A.weight`] = floats([RANK, inFeatures], (i) => value(i) / 2)
    tensors[`${name}.lora_B.weight`] = floats([outFeatures, RANK], (i) => value(i + 5) / 2)
    if (dora) tensors[`${name}.lora_magnitude_vector`] = floats([outFeatures], (i) => 1 + value(i) / 4)
    seed++
  }
  const config = { peft_type: 'LORA', r: RANK, lora_alpha: 2 * RANK, target_modules: targets, use_dora: dora }
  return writeAdapter(temporaryFolder(t), config, tensors)
}

/** The model with a product for each projection. */
function withoutJoins(folder: string, options: BuildOptions): BuiltModel {
  const { joins } = Cuda.prototype
  Cuda.prototype.joins = () => false
  try {
    return buildModel(folder, options)
  } finally {
    Cuda.prototype.joins = joins
  }
}

/** The checkpoint's float32 tensors in float16, which the graph takes as they lie. */
function inFloat16(tensors: Tensors): void {
  for (const [name, { shape, bytes }] of Object.entries(tensors)) {
    const values = new Float32Array(new Uint8Array(bytes).buffer)
    tensors[name] = { dtype: 'F16', shape, bytes: encodeFloats('float16', values) }
  }
}

const LORA = [['q_proj'], ['k_proj'], ['v_proj'], ['gate_proj'], ['up_proj'], ['q_proj', 'v_proj', 'gate_proj', 'o_proj']]
const DORA = [['k_proj'], ['v_proj', 'gate_proj']]

const cases: { name: string; family: string; quantization?: BuildOptions['quantization']; tensors?: (all: Tensors) => void }[] = [
  { name: 'converted', family: 'llama' },
  { name: 'as they lie', family: 'llama', tensors: inFloat16 },
  { name: 'int4', family: 'llama', quantization: 'int4' },
  { name: 'with biases', family: 'qwen2' },
  { name: 'with biases, int8', family: 'qwen2', quantization: 'int8' },
  { name: 'with norms of heads', family: 'qwen3' },
]
for (const { name, family, quantization, tensors } of cases)
  t.test(name, needsEmulated, async (t) => {
    const folder = withHeadsOf16(t, family, undefined, tensors)
    const options = { device: 'cuda', dtype: 'float16', quantization } as const
    const together = buildModel(folder, options)
    const apart = withoutJoins(folder, options)
    const weights = (model: BuiltModel) => new Set(model.initializers.map(({ name }) => name)).size
    t.ok(weights(together) < weights(apart), 'there is something to compare')

    const folders = [
      ...LORA.map((targets) => adapterOn(t, together.base, targets)),
      ...DORA.map((targets) => adapterOn(t, together.base, targets, true)),
    ]
    const packing = { dtype: 'float16', blockBytes: blockBytesOf(together) } as const
    const images = folders.map((one, i) => loadAdapter(`adapter-${i}`, one, together.base, packing))
    const rows = images.length
    const got = await logitsOfRows(together, rows, images, TOKENS)
    t.same(got, await logitsOfRows(apart, rows, images, TOKENS), 'the same logits')
    const base = await logitsOfRows(together, rows, [], TOKENS)
    t.same(base, await logitsOfRows(apart, rows, [], TOKENS), 'and without adapters')
    const { vocabSize } = together
    for (const [row, { method }] of images.entries()) {
      const changes = got.slice(row * vocabSize, (row + 1) * vocabSize).map((x, i) => Math.abs(x - base[row * vocabSize + i]))
      t.ok(Math.max(...changes) > 0.01, `${method} on ${[...LORA, ...DORA][row]} does something`)
    }
  })
