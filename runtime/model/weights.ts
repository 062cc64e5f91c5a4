/** The checkpoint's tensors: found by name, checked, and handed to the graph by reference. */
import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import path from 'node:path'
import { readSafetensorsHeader } from '../../adapters-store/safetensors.ts'
import type { TensorRef } from '../../adapters-store/types.ts'
import { decodeFloats } from '../../native/floats.ts'
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

export type FloatTensor = TensorRef & { dtype: TensorType }

/** A weight of the graph: one tensor of the checkpoint under its own name, or several, one after the other along their first dimension. */
export interface Weight {
  name: string
  parts: { name: string; shape: number[] }[]
}

export const single = (name: string, shape: number[]): Weight => ({ name, parts: [{ name, shape }] })

export function shapeOf({ parts }: Weight): number[] {
  return [parts.reduce((sum, { shape }) => sum + shape[0], 0), ...parts[0].shape.slice(1)]
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
  find(name: string, shape: number[]): FloatTensor {
    const tensor = this.tensors[name]
    if (!tensor) throw new ModelError('tensor_missing', `the checkpoint has no tensor ${name}`)
    if (tensor.shape.length !== shape.length || tensor.shape.some((d, i) => d !== shape[i]))
      throw new ModelError('tensor_invalid', `tensor ${name} has shape [${tensor.shape}], but config.json makes it [${shape}]`)
    if (tensor.dtype !== 'float32' && tensor.dtype !== 'float16' && tensor.dtype !== 'bfloat16')
      throw new ModelError('tensor_invalid', `tensor ${name} is ${tensor.dtype}; supported are float32, float16 and bfloat16`)
    return tensor as FloatTensor
  }

  /**
   * Enters the weight among the initializers, once: as it lies in the file, as another type, or quantized (see InitializerRef). True when this call
   * did it. All uses of a weight must want the same.
   */
  use({ name, parts }: Weight, { as, quantize }: Pick<InitializerRef, 'as' | 'quantize'> = {}): boolean {
    const tensors = parts.map((part) => this.find(part.name, part.shape))
    if (this.used.has(name)) return false
    this.used.add(name)
    for (const tensor of tensors) {
      let file = this.files.indexOf(tensor.file)
      if (file < 0) file = this.files.push(tensor.file) - 1
      this.initializers.push({
        name,
        dtype: tensor.dtype,
        shape: tensor.shape,
        file,
        offset: tensor.offset,
        length: tensor.length,
        ...(as && as !== tensor.dtype && { as }),
        ...(quantize && { quantize }),
      })
    }
    return true
  }

  /** The values of a small tensor (norms, scales), read now. */
  read(name: string, shape: number[]): Float32Array {
    const tensor = this.find(name, shape)
    const bytes = new Uint8Array(tensor.length)
    const file = openSync(tensor.file, 'r')
    try {
      for (let at = 0; at < bytes.length; ) {
        const count = readSync(file, bytes, at, bytes.length - at, tensor.offset + at)
        if (count === 0) throw new ModelError('model_file_invalid', `${tensor.file} ends within tensor ${name}`)
        at += count
      }
    } finally {
      closeSync(file)
    }
    const values = new Float32Array(shape.reduce((product, d) => product * d, 1))
    decodeFloats(tensor.dtype, bytes, values)
    return values
  }
}
