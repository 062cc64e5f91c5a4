/**
 * The benchmark's model: SmolLM-135M's shape (Llama, 30 layers, hidden 576, 9 heads, 3 KV heads, feed-forward 1536, vocabulary 49,152, tied) with random
 * float32 weights, and rank-16 adapters on every linear layer in float16; and a shape of 1.07 billion parameters in the same way. Made once, in build/bench/.
 * `node dist/bench/model135m.js [ADAPTERS]` makes the first.
 */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import path from 'node:path'
import { demoModel, repoRoot } from '../test/support/repo.ts'
import { fillUniform, toHalf } from './random.ts'

export interface Shape {
  hidden: number
  layers: number
  heads: number
  kvHeads: number
  headDim: number
  feedForward: number
  vocabulary: number
}

export const SHAPE: Shape = { hidden: 576, layers: 30, heads: 9, kvHeads: 3, headDim: 64, feedForward: 1536, vocabulary: 49_152 }
/** Llama 3.2 1B's layers with the other shape's vocabulary. */
const SHAPE_1B: Shape = { hidden: 2048, layers: 16, heads: 32, kvHeads: 8, headDim: 64, feedForward: 8192, vocabulary: 49_152 }
export const RANK = 16

/** [name below the layer, in, out] of the seven projections. */
export function projectionsOf({ hidden, kvHeads, headDim, feedForward }: Shape): [string, number, number][] {
  const kv = kvHeads * headDim
  return [
    ['self_attn.q_proj', hidden, hidden],
    ['self_attn.k_proj', hidden, kv],
    ['self_attn.v_proj', hidden, kv],
    ['self_attn.o_proj', hidden, hidden],
    ['mlp.gate_proj', hidden, feedForward],
    ['mlp.up_proj', hidden, feedForward],
    ['mlp.down_proj', feedForward, hidden],
  ]
}
export const PROJECTIONS = projectionsOf(SHAPE)

export interface BenchModel {
  shape: Shape
  directory: string
  adapters: string
  names: string[]
}

export interface Planned {
  name: string
  shape: number[]
  /** Standard deviation; absent: all ones (norm weights). */
  deviation?: number
}

/** Writes a safetensors file of random tensors, one tensor in memory at a time. */
export function writeRandom(file: string, tensors: Planned[], dtype: 'F32' | 'F16', seed: number): void {
  const width = dtype === 'F32' ? 4 : 2
  const size = ({ shape }: Planned) => shape.reduce((a, b) => a * b, 1)
  let offset = 0
  const header: Record<string, unknown> = { __metadata__: { format: 'pt' } }
  for (const tensor of tensors) {
    const end = offset + size(tensor) * width
    header[tensor.name] = { dtype, shape: tensor.shape, data_offsets: [offset, end] }
    offset = end
  }
  const json = Buffer.from(JSON.stringify(header))
  const padded = Buffer.alloc(Math.ceil(json.length / 64) * 64, ' ')
  json.copy(padded)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(padded.length))
  const out = openSync(`${file}.part`, 'w')
  writeSync(out, length)
  writeSync(out, padded)
  let state = seed
  for (const tensor of tensors) {
    const values = new Float32Array(size(tensor))
    if (tensor.deviation === undefined) values.fill(1)
    else state = fillUniform(values, tensor.deviation, state)
    const data = dtype === 'F32' ? values : toHalf(values)
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    // One write takes 2 GiB at most and may take less than it was given.
    for (let at = 0; at < bytes.length; ) at += writeSync(out, bytes, at, bytes.length - at)
  }
  closeSync(out)
  renameSync(`${file}.part`, file)
}

const layerNames = ({ layers }: Shape) => Array.from({ length: layers }, (_, i) => `model.layers.${i}`)

/** `head`: with a head of its own in place of the embedding's weights, and what its layers add made so many times smaller. */
export function makeBase(directory: string, head?: { quieter: number }, shape = SHAPE): void {
  mkdirSync(directory, { recursive: true })
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    vocab_size: shape.vocabulary,
    hidden_size: shape.hidden,
    intermediate_size: shape.feedForward,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.kvHeads,
    head_dim: shape.headDim,
    hidden_act: 'silu',
    max_position_embeddings: 2048,
    rms_norm_eps: 1e-5,
    rope_theta: 10_000,
    tie_word_embeddings: !head,
    bos_token_id: 1,
    eos_token_id: 2,
    torch_dtype: 'float32',
  }
  writeFileSync(path.join(directory, 'config.json'), JSON.stringify(config, null, 2))
  // The demo's tokenizer, its vocabulary filled up with words that no text contains, so that every id of the model has a name.
  const tokenizer = JSON.parse(readFileSync(demoModel('base/tokenizer.json'), 'utf8'))
  const { vocab } = tokenizer.model
  for (let id = Object.keys(vocab).length; id < shape.vocabulary; id++) vocab[`Ġfiller${id}`] = id
  writeFileSync(path.join(directory, 'tokenizer.json'), JSON.stringify(tokenizer))
  writeFileSync(path.join(directory, 'tokenizer_config.json'), readFileSync(demoModel('base/tokenizer_config.json')))
  const tensors: Planned[] = [
    { name: 'model.embed_tokens.weight', shape: [shape.vocabulary, shape.hidden], deviation: 0.05 },
    ...layerNames(shape).flatMap((layer) => [
      { name: `${layer}.input_layernorm.weight`, shape: [shape.hidden] },
      { name: `${layer}.post_attention_layernorm.weight`, shape: [shape.hidden] },
      ...projectionsOf(shape).map(([name, inputs, outputs]) => ({
        name: `${layer}.${name}.weight`,
        shape: [outputs, inputs],
        deviation: inputs ** -0.5 / (head && /o_proj|down_proj/.test(name) ? head.quieter : 1),
      })),
    ]),
    { name: 'model.norm.weight', shape: [shape.hidden] },
    ...(head ? [{ name: 'lm_head.weight', shape: [shape.vocabulary, shape.hidden], deviation: 0.05 }] : []),
  ]
  writeRandom(path.join(directory, 'model.safetensors'), tensors, 'F32', 20_260)
}

function makeAdapter(directory: string, seed: number, shape: Shape): void {
  mkdirSync(directory, { recursive: true })
  const config = {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: 'bench',
    r: RANK,
    lora_alpha: RANK,
    lora_dropout: 0,
    bias: 'none',
    inference_mode: true,
    init_lora_weights: true,
    target_modules: projectionsOf(shape).map(([name]) => name.split('.')[1]),
  }
  writeFileSync(path.join(directory, 'adapter_config.json'), JSON.stringify(config, null, 2))
  const tensors = layerNames(shape).flatMap((layer) =>
    projectionsOf(shape).flatMap(([name, inputs, outputs]) => [
      { name: `base_model.model.${layer}.${name}.lora_A.weight`, shape: [RANK, inputs], deviation: inputs ** -0.5 },
      { name: `base_model.model.${layer}.${name}.lora_B.weight`, shape: [outputs, RANK], deviation: 0.05 },
    ]),
  )
  writeRandom(path.join(directory, 'adapter_model.safetensors'), tensors, 'F16', seed)
}

/** The model with the first `count` adapters, made where missing. */
export const model135m = (count: number): BenchModel => made('model135m', SHAPE, count)

/** The same of 1.07 billion parameters: 4.3 GB, and 23 MB for each adapter. */
export const model1b = (count: number): BenchModel => made('model1b', SHAPE_1B, count)

function made(name: string, shape: Shape, count: number): BenchModel {
  const root = path.join(repoRoot(), 'build/bench', name)
  const model: BenchModel = {
    shape,
    directory: path.join(root, 'base'),
    adapters: path.join(root, `adapters-${count}`),
    names: Array.from({ length: count }, (_, i) => `a${String(i).padStart(2, '0')}`),
  }
  if (!existsSync(path.join(model.directory, 'model.safetensors'))) makeBase(model.directory, undefined, shape)
  model.names.forEach((name, i) => {
    const folder = path.join(model.adapters, name)
    if (existsSync(path.join(folder, 'adapter_model.safetensors'))) return
    rmSync(folder, { recursive: true, force: true })
    makeAdapter(folder, 1000 + i, shape)
  })
  return model
}

if (process.argv[1] === import.meta.filename) {
  const model = model135m(Number(process.argv[2] ?? 32))
  console.log(`${model.directory}\n${model.adapters}: ${model.names.length} adapters`)
}
