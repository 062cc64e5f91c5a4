/** In which form the CPU's products have a quantized weight as it is (native/kernels/linear.h, keeps_stored). */
import type { StoredPacking, StoredParts, WeightForm } from '../../../native/types.ts'
import { inputsByGroup } from './order.ts'

/** Inputs that the kernels have one scale for. */
const RUN = 32

export interface Kept {
  form: WeightForm | StoredPacking
  /** The order that the weight's inputs lie in, where it is one of their own. */
  inputs?: Int32Array
}

/** Undefined where groups are no multiples of 32 inputs, or do not have the inputs that they should: such a weight becomes floats. */
export function keptAs({ form: { bits, in: inputs, group }, zeros, order }: StoredParts): Kept | undefined {
  if (group !== inputs && group % RUN) return undefined
  if (order) {
    const ordered = inputsByGroup(order, group)
    return ordered && { form: bits === 4 ? 'uint4' : 'uint8', inputs: ordered }
  }
  if (bits === 4) return { form: 'uint4' }
  return { form: group === inputs && !zeros ? 'int8' : 'uint8' }
}
