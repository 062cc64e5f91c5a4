/**
 * The benchmark's model and adapters as GGUF (github.com/ggml-org/ggml, docs/gguf.md): the base in a type of ggml, adapters in float16 as they are. Only what llama.cpp needs to run a Llama:
 * tokens have invented names, and q and k rows are not permuted to ggml's rope order, which changes the numbers (random anyway) and not the work.
 */
import { closeSync, existsSync, mkdirSync, openSync, readSync, renameSync, statSync, writeSync } from 'node:fs'
import path from 'node:path'
import { readSafetensorsHeader } from '../../../adapters-store/index.ts'
import { type BenchModel, projectionsOf, RANK } from '../../model135m.ts'
import { encoded, GGML_TYPES, type GgmlType, sizeIn } from './ggml-types.ts'

const ALIGNMENT = 32
/** Metadata's value types. */
type Value = { uint32: number } | { float32: number } | { string: string } | { strings: string[] } | { int32s: number[] }

class Bytes {
  readonly parts: Buffer[] = []
  uint32(value: number): this {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32LE(value)
    return this.push(bytes)
  }
  uint64(value: number): this {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64LE(BigInt(value))
    return this.push(bytes)
  }
  string(value: string): this {
    const bytes = Buffer.from(value)
    return this.uint64(bytes.length).push(bytes)
  }
  push(bytes: Buffer): this {
    this.parts.push(bytes)
    return this
  }
  value(value: Value): this {
    if ('uint32' in value) return this.uint32(4).uint32(value.uint32)
    if ('string' in value) return this.uint32(8).string(value.string)
    if ('float32' in value) {
      const bytes = Buffer.alloc(4)
      bytes.writeFloatLE(value.float32)
      return this.uint32(6).push(bytes)
    }
    if ('int32s' in value) {
      this.uint32(9).uint32(5).uint64(value.int32s.length)
      for (const v of value.int32s) this.uint32(v)
      return this
    }
    this.uint32(9).uint32(8).uint64(value.strings.length)
    for (const text of value.strings) this.string(text)
    return this
  }
}

interface Tensor {
  name: string
  source: { file: string; dtype: string; shape: number[]; offset: number; length: number }
  /** What it becomes; absent: its own type. */
  as?: GgmlType
}
const typeOf = ({ source, as }: Tensor): GgmlType => as ?? (source.dtype === 'float16' ? 'F16' : 'F32')
const bytesOf = (tensor: Tensor) =>
  sizeIn(
    typeOf(tensor),
    tensor.source.shape.reduce((a, b) => a * b, 1),
  )
const padded = (bytes: number) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT

function write(file: string, metadata: Record<string, Value>, tensors: Tensor[]): void {
  const head = new Bytes().push(Buffer.from('GGUF')).uint32(3).uint64(tensors.length).uint64(Object.keys(metadata).length)
  for (const [key, value] of Object.entries(metadata)) head.string(key).value(value)
  let offset = 0
  for (const tensor of tensors) {
    const { name, source } = tensor
    head.string(name).uint32(source.shape.length)
    for (const dimension of [...source.shape].reverse()) head.uint64(dimension) // ggml's innermost comes first
    head.uint32(GGML_TYPES[typeOf(tensor)]).uint64(offset)
    offset += padded(bytesOf(tensor))
  }
  const bytes = Buffer.concat(head.parts)
  const out = openSync(`${file}.part`, 'w')
  writeSync(out, Buffer.concat([bytes, Buffer.alloc((ALIGNMENT - (bytes.length % ALIGNMENT)) % ALIGNMENT)]))
  for (const tensor of tensors) {
    const { source } = tensor
    const plain = Buffer.alloc(source.length)
    const input = openSync(source.file, 'r')
    readSync(input, plain, 0, source.length, source.offset)
    closeSync(input)
    const data = Buffer.alloc(padded(bytesOf(tensor)))
    encoded(typeOf(tensor), plain).copy(data)
    for (let at = 0; at < data.length; ) at += writeSync(out, data, at, data.length - at)
  }
  closeSync(out)
  renameSync(`${file}.part`, file)
}

const GGML_NAMES: Record<string, string> = {
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
}

function writeBase(model: BenchModel, file: string, type: GgmlType): void {
  const { shape } = model
  const sources = readSafetensorsHeader(path.join(model.directory, 'model.safetensors'))
  const tensor = (name: string, source: string, as?: GgmlType): Tensor => ({ name, source: sources.get(source)!, as })
  // The embedding is the head as well: in 4 bits it would cost much of the accuracy, and nobody keeps it so.
  const table = type === 'Q4_0' ? 'Q8_0' : type
  const tensors = [
    tensor('token_embd.weight', 'model.embed_tokens.weight', table),
    tensor('output_norm.weight', 'model.norm.weight'),
  ]
  for (let i = 0; i < shape.layers; i++) {
    tensors.push(tensor(`blk.${i}.attn_norm.weight`, `model.layers.${i}.input_layernorm.weight`))
    tensors.push(tensor(`blk.${i}.ffn_norm.weight`, `model.layers.${i}.post_attention_layernorm.weight`))
    for (const [name] of projectionsOf(shape))
      tensors.push(tensor(`blk.${i}.${GGML_NAMES[name]}.weight`, `model.layers.${i}.${name}.weight`, type))
  }
  const tokens = Array.from({ length: shape.vocabulary }, (_, i) => `token${i}`)
  write(
    file,
    {
      'general.architecture': { string: 'llama' },
      'general.alignment': { uint32: ALIGNMENT },
      'llama.context_length': { uint32: 2048 },
      'llama.embedding_length': { uint32: shape.hidden },
      'llama.block_count': { uint32: shape.layers },
      'llama.feed_forward_length': { uint32: shape.feedForward },
      'llama.attention.head_count': { uint32: shape.heads },
      'llama.attention.head_count_kv': { uint32: shape.kvHeads },
      'llama.attention.layer_norm_rms_epsilon': { float32: 1e-5 },
      'llama.rope.dimension_count': { uint32: shape.headDim },
      'llama.vocab_size': { uint32: shape.vocabulary },
      'tokenizer.ggml.model': { string: 'gpt2' },
      'tokenizer.ggml.pre': { string: 'default' },
      'tokenizer.ggml.tokens': { strings: tokens },
      'tokenizer.ggml.token_type': { int32s: tokens.map(() => 1) },
      'tokenizer.ggml.merges': { strings: ['t o'] },
      'tokenizer.ggml.bos_token_id': { uint32: 1 },
      'tokenizer.ggml.eos_token_id': { uint32: 2 },
    },
    tensors,
  )
}

function writeAdapter(model: BenchModel, name: string, file: string): void {
  const sources = readSafetensorsHeader(path.join(model.adapters, name, 'adapter_model.safetensors'))
  const tensors: Tensor[] = []
  for (let i = 0; i < model.shape.layers; i++)
    for (const [projection] of projectionsOf(model.shape))
      for (const half of ['A', 'B'])
        tensors.push({
          name: `blk.${i}.${GGML_NAMES[projection]}.weight.lora_${half.toLowerCase()}`,
          source: sources.get(`base_model.model.model.layers.${i}.${projection}.lora_${half}.weight`)!,
        })
  const metadata: Record<string, Value> = {
    'general.type': { string: 'adapter' },
    'general.architecture': { string: 'llama' },
    'general.alignment': { uint32: ALIGNMENT },
    'adapter.type': { string: 'lora' },
    'adapter.lora.alpha': { float32: RANK },
  }
  write(file, metadata, tensors)
}

/** Writes what is missing; returns the base's file, its bytes, and the adapters' folder. */
export function ggufOf(model: BenchModel, type: GgmlType = 'F32'): { base: string; bytes: number; loras: string } {
  const base = path.join(path.dirname(model.directory), type === 'F32' ? 'base.gguf' : `base-${type}.gguf`)
  const loras = path.join(path.dirname(model.directory), 'gguf-adapters')
  mkdirSync(loras, { recursive: true })
  if (!existsSync(base)) writeBase(model, base, type)
  for (const name of model.names) {
    const file = path.join(loras, `${name}.gguf`)
    if (!existsSync(file)) writeAdapter(model, name, file)
  }
  return { base, bytes: statSync(base).size, loras }
}
