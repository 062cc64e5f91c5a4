/** compressed-tensors' integers: `weight_packed` [out, in · bits / 32] int32 (pack-quantized) or `weight` [out, in] int8 (int-quantized, naive-quantized). */
import type { StoredForm, TensorRef } from '../../../native/types.ts'
import type { Json } from '../config.ts'
import { ModelError } from '../errors.ts'
import { isPlain } from './order.ts'
import { type Layout, partOf, placeOf, scalesOf, type Tensors } from './parts.ts'

const FORMATS = ['pack-quantized', 'int-quantized', 'naive-quantized']

/** What a group of modules may be quantized by; anything else is told in words. */
function refusalOf(group: Json, format: unknown): string | undefined {
  const { weights, input_activations: inputs, output_activations: outputs, format: own } = group
  const { num_bits: bits, type = 'int', strategy, dynamic } = (weights ?? {}) as Json
  if (!FORMATS.includes((own ?? format) as string))
    return `format is ${JSON.stringify(own ?? format)}, and ${FORMATS.join(', ')} are read`
  if (type !== 'int') return `its weights are of type ${JSON.stringify(type)}, and int is read`
  if (bits !== 4 && bits !== 8) return `its weights have ${JSON.stringify(bits)} bits, and 4 and 8 are read`
  if (dynamic) return 'its weights are quantized as they are used'
  if (strategy && !['group', 'channel', 'tensor'].includes(strategy as string))
    return `strategy is ${JSON.stringify(strategy)}, and group, channel and tensor are read`
  const activations = inputs as Json | null | undefined
  // Rounded to 8 bits here too, in groups of 32 and by each row's own values: finer than any of these.
  if (activations && (activations.type !== 'int' || activations.num_bits !== 8))
    return 'its activations are rounded to something else than int8'
  if (outputs) return 'outputs of its modules are rounded'
  return undefined
}

export function compressedTensors(json: Json): Layout | string {
  const groups = Object.values((json.config_groups ?? {}) as Record<string, Json | null>)
  if (groups.length === 0) return 'config_groups names no modules'
  for (const group of groups) {
    const refusal = refusalOf(group ?? {}, json.format)
    if (refusal) return refusal
  }
  if (Object.keys((json.transform_config as object | null) ?? {}).length > 0) return 'transform_config rotates its weights'
  const sparsity = (json.sparsity_config as Json | null | undefined)?.format
  if (sparsity !== undefined && sparsity !== 'dense') return `sparsity_config has format ${JSON.stringify(sparsity)}`
  const sizes = groups
    .map((group) => (group?.weights as Json | undefined)?.group_size)
    .filter((size) => Number.isInteger(size)) as number[]
  return {
    mark: 'weight_packed',
    read: (module, tensors, shape) =>
      tensors[`${module}.weight_packed`] ? packed(module, tensors, shape, sizes) : inBytes(module, tensors, shape, sizes),
  }
}

/** The bits are those that make the rows as long as they are. */
function packed(module: string, tensors: Tensors, shape: [number, number], sizes: number[]) {
  const [out, inputs] = shape
  const name = `${module}.weight_packed`
  const lengths = [4, 8].map((bits) => Math.ceil((inputs * bits) / 32))
  const codes = partOf(
    tensors,
    name,
    ['int32'],
    lengths.map((length) => [out, length]),
  )
  const bits = codes.shape[1] === lengths[0] ? 4 : 8
  return weightOf(module, tensors, shape, sizes, codes, { layout: 'rows', bits })
}

function inBytes(module: string, tensors: Tensors, shape: [number, number], sizes: number[]) {
  const codes = partOf(tensors, `${module}.weight`, ['int8'], [shape])
  return weightOf(module, tensors, shape, sizes, codes, { layout: 'bytes', bits: 8 })
}

function weightOf(
  module: string,
  tensors: Tensors,
  [out, inputs]: [number, number],
  sizes: number[],
  codes: TensorRef,
  kind: Pick<StoredForm, 'layout' | 'bits'>,
) {
  const scaleName = `${module}.weight_scale`
  const groups = tensors[scaleName]?.shape[1] ?? 1
  const shapes = [[out, groups]]
  if (groups === 1) shapes.push([out])
  // A single scale; of packed numbers there is always one for each output.
  if (groups === 1 && kind.layout === 'bytes') shapes.push([1], [])
  const scales = scalesOf(tensors, scaleName, shapes)
  const oneScale = out !== 1 && scales.shape[0] !== out
  const group = groups === 1 ? inputs : (sizes.find((size) => Math.ceil(inputs / size) === groups) ?? inputs / groups)
  if (!Number.isInteger(group))
    throw new ModelError('tensor_invalid', `tensor ${scaleName} has ${groups} groups, which fits no group_size of config.json`)
  const zeroName = `${module}.weight_zero_point`
  const zeros: TensorRef | undefined = tensors[zeroName]
  const byteZeros = zeros?.dtype === 'int8'
  if (zeros)
    partOf(
      tensors,
      zeroName,
      ['int8', 'int32'],
      byteZeros ? [...shapes, ...(oneScale ? [[1], []] : [])] : [[Math.ceil((out * kind.bits) / 32), groups]],
    )
  const orderName = `${module}.weight_g_idx`
  const order: TensorRef | undefined = tensors[orderName] && partOf(tensors, orderName, ['int32'], [[inputs]])
  const form: StoredForm = { ...kind, in: inputs, out, group, zeroOffset: 0, byteZeros, oneScale, scaleType: scales.dtype }
  return {
    codes,
    stored: {
      form,
      scales: placeOf(scales),
      ...(zeros && { zeros: placeOf(zeros) }),
      ...(order && !isPlain(order, group) && { order: placeOf(order) }),
    },
  }
}
