/** Inputs that were quantized in an order of their own (`desc_act`, `actorder`): g_idx says of each which group it is of. */
import { readTensor } from '../../../adapters-store/checkpoint/index.ts'
import type { FilePart, TensorRef } from '../../../native/types.ts'

/** Shape [in]. */
export function readOrder(part: FilePart): Int32Array {
  const { buffer, byteOffset, byteLength } = readTensor({ ...part, dtype: 'int32', shape: [part.length / 4] }).slice()
  return new Int32Array(buffer, byteOffset, byteLength / 4)
}

/** Whether the inputs' groups follow one another, so that nothing need be said of them. */
export function isPlain(tensor: TensorRef, group: number): boolean {
  return readOrder(tensor).every((of, input) => of === Math.floor(input / group))
}

/** The inputs ordered by their groups, within a group as they come; undefined where a group does not have `group` of them. */
export function inputsByGroup(part: FilePart, group: number): Int32Array | undefined {
  const groups = readOrder(part)
  if (groups.length % group) return undefined
  const next = Array.from({ length: groups.length / group }, (_, i) => i * group)
  const inputs = new Int32Array(groups.length)
  for (const [input, of] of groups.entries()) {
    if (!(next[of] < (of + 1) * group)) return undefined
    inputs[next[of]++] = input
  }
  return inputs
}
