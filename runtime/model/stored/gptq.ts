/** GPTQ (AutoGPTQ, GPTQModel): numbers [in · bits / 32, out], lowest bits first along the inputs; zero points along the outputs, in the first format less one. */
import type { TensorRef } from '../../../native/types.ts'
import type { Json } from '../config.ts'
import { isPlain } from './order.ts'
import { groupOf, type Layout, partOf, placeOf, scalesOf } from './parts.ts'

export function gptq(json: Json): Layout | string {
  const { bits, group_size: group = -1, checkpoint_format: format = 'gptq', dynamic, pack_dtype: packed = 'int32' } = json
  if (bits !== 4 && bits !== 8) return `its weights have ${JSON.stringify(bits)} bits, and 4 and 8 are read`
  if (group !== -1 && !(Number.isInteger(group) && (group as number) > 0)) return 'group_size must be −1 or a positive integer'
  if (format !== 'gptq' && format !== 'gptq_v2')
    return `checkpoint_format is ${JSON.stringify(format)}, and gptq and gptq_v2 are read`
  if (packed !== 'int32') return `pack_dtype is ${JSON.stringify(packed)}, and int32 is read`
  // '-:pattern' leaves a module in floats, which its tensors show; '+:pattern' gives it bits or groups of its own.
  const own = Object.keys((dynamic as object | null | undefined) ?? {}).find((pattern) => !pattern.startsWith('-:'))
  if (own !== undefined) return `dynamic gives modules bits or groups of their own (${own.slice(0, 60)})`
  return {
    mark: 'qweight',
    read: (module, tensors, [out, inputs]) => {
      const words = 32 / bits
      const size = groupOf(group as number, inputs)
      const groups = Math.ceil(inputs / size)
      const codes = partOf(tensors, `${module}.qweight`, ['int32'], [[Math.ceil(inputs / words), out]])
      const zeros = partOf(tensors, `${module}.qzeros`, ['int32'], [[groups, Math.ceil(out / words)]])
      const scales = scalesOf(tensors, `${module}.scales`, [[groups, out]])
      const order: TensorRef | undefined = tensors[`${module}.g_idx`] && partOf(tensors, `${module}.g_idx`, ['int32'], [[inputs]])
      return {
        codes,
        stored: {
          form: {
            layout: 'gptq',
            bits,
            in: inputs,
            out,
            group: size,
            zeroOffset: format === 'gptq' ? 1 : 0,
            byteZeros: false,
            oneScale: false,
            scaleType: scales.dtype,
          },
          scales: placeOf(scales),
          zeros: placeOf(zeros),
          ...(order && !isPlain(order, size) && { order: placeOf(order) }),
        },
      }
    },
  }
}
