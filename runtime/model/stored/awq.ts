/** AWQ (AutoAWQ's GEMM version): numbers [in, out / 8], eight outputs in a word in an order of their own, zero points likewise. */
import type { Json } from '../config.ts'
import { groupOf, type Layout, partOf, placeOf, scalesOf } from './parts.ts'

export function awq(json: Json): Layout | string {
  const { bits = json.w_bit, group_size: group = json.q_group_size ?? -1, version = 'gemm' } = json
  if (bits !== 4) return `its weights have ${JSON.stringify(bits)} bits, and 4 are read`
  if (group !== -1 && !(Number.isInteger(group) && (group as number) > 0)) return 'group_size must be −1 or a positive integer'
  if (typeof version !== 'string' || version.toLowerCase() !== 'gemm')
    return `version is ${JSON.stringify(version)}, and gemm is read`
  return {
    mark: 'qweight',
    read: (module, tensors, [out, inputs]) => {
      const size = groupOf(group as number, inputs)
      const groups = Math.ceil(inputs / size)
      const codes = partOf(tensors, `${module}.qweight`, ['int32'], [[inputs, out / 8]])
      const zeros = partOf(tensors, `${module}.qzeros`, ['int32'], [[groups, out / 8]])
      const scales = scalesOf(tensors, `${module}.scales`, [[groups, out]])
      const form = {
        layout: 'awq',
        bits: 4,
        in: inputs,
        out,
        group: size,
        zeroOffset: 0,
        byteZeros: false,
        oneScale: false,
        scaleType: scales.dtype,
      } as const
      return { codes, stored: { form, scales: placeOf(scales), zeros: placeOf(zeros) } }
    },
  }
}
