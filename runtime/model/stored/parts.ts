/** What a quantized weight [out, in] consists of: tensors, found and checked against the shapes that config.json makes them. */
import type { FilePart, StoredParts, TensorRef, TensorType } from '../../../native/types.ts'
import { ModelError } from '../errors.ts'

export type Tensors = Record<string, TensorRef>
export type Dtype = TensorRef['dtype']

export interface Layout {
  /** The tensor that stands in a weight's place. */
  mark: string
  /** A weight of this shape: its numbers, and what belongs to them. Throws ModelError where a tensor is missing or of another shape. */
  read(module: string, tensors: Tensors, shape: [out: number, inputs: number]): { codes: TensorRef; stored: StoredParts }
}

const SCALES: Dtype[] = ['float32', 'float16', 'bfloat16']

/** The tensor, of one of these types and shapes. Throws ModelError. */
export function partOf(tensors: Tensors, name: string, dtypes: Dtype[], shapes: number[][]): TensorRef {
  const found = tensors[name]
  if (!found) throw new ModelError('tensor_missing', `the checkpoint has no tensor ${name}`)
  if (!dtypes.includes(found.dtype))
    throw new ModelError('tensor_invalid', `tensor ${name} is ${found.dtype}; ${dtypes.join(' or ')} is expected`)
  if (!shapes.some((shape) => shape.length === found.shape.length && shape.every((d, i) => d === found.shape[i])))
    throw new ModelError(
      'tensor_invalid',
      `tensor ${name} has shape [${found.shape}], but config.json makes it ${shapes.map((shape) => `[${shape}]`).join(' or ')}`,
    )
  return found
}

export function scalesOf(tensors: Tensors, name: string, shapes: number[][]): TensorRef & { dtype: TensorType } {
  return partOf(tensors, name, SCALES, shapes) as TensorRef & { dtype: TensorType }
}

export const placeOf = ({ file, offset, length }: TensorRef): FilePart => ({ file, offset, length })

/** Inputs that share a scale: all where the config says −1. */
export const groupOf = (size: number, inputs: number): number => (size === -1 ? inputs : Math.min(size, inputs))
