/** The checkpoint's tensors: found by name, checked, and handed to the graph by reference. */
import { existsSync } from 'node:fs'
import path from 'node:path'
import { readSafetensorsHeader } from '../../adapters-store/safetensors.ts'
import type { TensorRef } from '../../adapters-store/types.ts'
import type { InitializerRef, TensorType } from '../../native/types.ts'
import { readJson } from './config.ts'
import { ModelError } from './errors.ts'

const SINGLE = 'model.safetensors'
const INDEX = 'model.safetensors.index.json'

/** Headers of all the folder's weight files: one `model.safetensors`, or the shards that the index names. Throws ModelError. */
export function readCheckpoint(directory: string): Record<string, TensorRef> {
  const single = path.join(directory, SINGLE)
  if (existsSync(single)) return Object.fromEntries(readHeader(single))
  const index = path.join(directory, INDEX)
  if (!existsSync(index)) {
    const pickled = existsSync(path.join(directory, 'pytorch_model.bin'))
      ? '; pytorch_model.bin is a pickle file, which is not read: convert it'
      : ''
    throw new ModelError('model_file_missing', `${directory} has neither ${SINGLE} nor ${INDEX}${pickled}`)
  }
  const map = readJson(index).weight_map
  if (typeof map !== 'object' || map === null) throw new ModelError('model_file_invalid', `${index} has no weight_map`)
  const tensors: Record<string, TensorRef> = {}
  const shards = new Map<string, Map<string, TensorRef>>()
  for (const [name, shard] of Object.entries(map)) {
    if (typeof shard !== 'string' || path.basename(shard) !== shard)
      throw new ModelError('model_file_invalid', `${index}: ${name} lies in ${JSON.stringify(shard)}, which is not a file name`)
    if (!shards.has(shard)) shards.set(shard, readHeader(path.join(directory, shard)))
    const tensor = shards.get(shard)?.get(name)
    if (!tensor) throw new ModelError('tensor_missing', `${index} says that ${name} lies in ${shard}, which does not hold it`)
    tensors[name] = tensor
  }
  return tensors
}

function readHeader(file: string): Map<string, TensorRef> {
  try {
    return readSafetensorsHeader(file)
  } catch (cause) {
    throw new ModelError('model_file_invalid', (cause as Error).message, { cause })
  }
}

/** Collects what the graph uses, and where it lies. */
export class Weights {
  readonly files: string[] = []
  readonly initializers: InitializerRef[] = []
  readonly tensors: Record<string, TensorRef>
  private readonly used = new Set<string>()

  constructor(tensors: Record<string, TensorRef>) {
    this.tensors = tensors
  }

  /** The tensor, which must have this shape and a floating type. */
  find(name: string, shape: number[]): TensorRef & { dtype: TensorType } {
    const tensor = this.tensors[name]
    if (!tensor) throw new ModelError('tensor_missing', `the checkpoint has no tensor ${name}`)
    if (tensor.shape.length !== shape.length || tensor.shape.some((d, i) => d !== shape[i]))
      throw new ModelError('tensor_invalid', `tensor ${name} has shape [${tensor.shape}], but config.json makes it [${shape}]`)
    if (tensor.dtype !== 'float32' && tensor.dtype !== 'float16' && tensor.dtype !== 'bfloat16')
      throw new ModelError('tensor_invalid', `tensor ${name} is ${tensor.dtype}; supported are float32, float16 and bfloat16`)
    return tensor as TensorRef & { dtype: TensorType }
  }

  /** Enters the tensor among the initializers, once. True when this call did it. */
  use(name: string, shape: number[]): { tensor: TensorRef & { dtype: TensorType }; first: boolean } {
    const tensor = this.find(name, shape)
    if (this.used.has(name)) return { tensor, first: false }
    this.used.add(name)
    let file = this.files.indexOf(tensor.file)
    if (file < 0) file = this.files.push(tensor.file) - 1
    this.initializers.push({ name, dtype: tensor.dtype, shape, file, offset: tensor.offset, length: tensor.length })
    return { tensor, first: true }
  }
}
