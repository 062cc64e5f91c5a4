/** The checkpoint's tensors: found by name, checked, and handed to the graph by reference. */
import { CheckpointError, type CheckpointErrorCode, readCheckpoint, readTensor } from '../../adapters-store/checkpoint/index.ts'
import { decodeFloats } from '../../native/floats.ts'
import type { FilePart, InitializerRef, StoredParts, TensorRef, TensorType } from '../../native/types.ts'
import { ModelError, type ModelErrorCode } from './errors.ts'
import { standsFor } from './quantized-checkpoint.ts'

/** Headers of all the folder's weight files. Throws ModelError. */
export function checkpointOf(directory: string): Record<string, TensorRef> {
  return inModelErrors(() => readCheckpoint(directory))
}

const MODEL_CODES: Record<CheckpointErrorCode, ModelErrorCode> = {
  checkpoint_missing: 'model_file_missing',
  checkpoint_unreadable: 'model_file_invalid',
  checkpoint_invalid: 'model_file_invalid',
  tensor_missing: 'tensor_missing',
}

function inModelErrors<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    if (cause instanceof CheckpointError) throw new ModelError(MODEL_CODES[cause.code], cause.message, { cause })
    throw cause
  }
}

export type FloatTensor = TensorRef & { dtype: TensorType }

/** A weight of the graph: one tensor of the checkpoint under its own name, or several, one after the other along their first dimension. */
export interface Weight {
  name: string
  parts: { name: string; shape: number[] }[]
  /** So many rows of zeros behind the parts. */
  zeroRows?: number
}

export const single = (name: string, shape: number[]): Weight => ({ name, parts: [{ name, shape }] })

export function shapeOf({ parts, zeroRows = 0 }: Weight): number[] {
  return [parts.reduce((sum, { shape }) => sum + shape[0], zeroRows), ...parts[0].shape.slice(1)]
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

  /** The tensor, which must have this shape and a floating type; of a quantized weight its scales' type. */
  find(name: string, shape: number[]): FloatTensor {
    const tensor = this.tensors[name]
    if (!tensor) throw this.missing(name)
    if (tensor.shape.length !== shape.length || tensor.shape.some((d, i) => d !== shape[i]))
      throw new ModelError('tensor_invalid', `tensor ${name} has shape [${tensor.shape}], but config.json makes it [${shape}]`)
    if (tensor.stored) return { ...tensor, dtype: tensor.stored.form.scaleType }
    if (tensor.dtype !== 'float32' && tensor.dtype !== 'float16' && tensor.dtype !== 'bfloat16')
      throw new ModelError('tensor_invalid', `tensor ${name} is ${tensor.dtype}; supported are float32, float16 and bfloat16`)
    return tensor as FloatTensor
  }

  private missing(name: string): ModelError {
    const instead = standsFor(name, this.tensors)
    if (!instead) return new ModelError('tensor_missing', `the checkpoint has no tensor ${name}`)
    return new ModelError(
      'unsupported_config',
      `the checkpoint has ${instead} in the place of ${name}, and config.json has no quantization_config that says how it is quantized. Add it, or serve the checkpoint in float32, float16 or bfloat16 that it was made from`,
    )
  }

  /**
   * Enters the weight among the initializers, once: as it lies in the file, as another type, quantized or packed (see InitializerRef). True when this call
   * did it. All uses of a weight must want the same.
   */
  use(
    { name, parts, zeroRows = 0 }: Weight,
    { as, quantize, pack }: Pick<InitializerRef, 'as' | 'quantize' | 'pack'> = {},
  ): boolean {
    const tensors = parts.map((part) => this.find(part.name, part.shape))
    if (this.used.has(name)) return false
    this.used.add(name)
    for (const { dtype, shape, stored, ...place } of tensors) {
      const becomes = { ...(as && as !== dtype && { as }), ...(quantize && { quantize }), ...(pack && { pack }) }
      const parts = stored && { stored: this.partsOf(stored) }
      this.initializers.push({ name, dtype, shape, ...this.placed(place), ...becomes, ...parts })
    }
    if (zeroRows > 0) {
      const { stored: _, ...last } = this.initializers.at(-1) as InitializerRef
      const shape = [zeroRows, ...last.shape.slice(1)]
      const length = shape.reduce((product, d) => product * d, last.dtype === 'float32' ? 4 : 2)
      this.initializers.push({ ...last, shape, offset: 0, length, zeros: true })
    }
    return true
  }

  /** With the file's place among `files`, which it is entered in. */
  private placed({ file: path, offset, length }: FilePart): FilePart<number> {
    const known = this.files.indexOf(path)
    return { file: known < 0 ? this.files.push(path) - 1 : known, offset, length }
  }

  private partsOf({ form, scales, zeros, order }: StoredParts): StoredParts<number> {
    return {
      form,
      scales: this.placed(scales),
      ...(zeros && { zeros: this.placed(zeros) }),
      ...(order && { order: this.placed(order) }),
    }
  }

  /** The values of a small tensor (norms, scales), read now. */
  read(name: string, shape: number[]): Float32Array {
    const tensor = this.find(name, shape)
    if (tensor.stored) throw new ModelError('tensor_invalid', `tensor ${name} is quantized, where floats are needed`)
    const bytes = inModelErrors(() => readTensor(tensor))
    const values = new Float32Array(shape.reduce((product, d) => product * d, 1))
    decodeFloats(tensor.dtype, bytes, values)
    return values
  }
}
