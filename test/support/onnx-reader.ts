/** Reads what tests ask of a serialized ONNX graph (onnx/onnx.proto): inputs, nodes and their attributes, initializers. */

export interface Tensor {
  name: string
  /** TensorProto.DataType. */
  type: number
  /** Names stand for sizes that are not known. */
  shape: (number | string)[]
}
export interface Node {
  op: string
  domain: string
  inputs: string[]
  outputs: string[]
  attributes: Record<string, number | string | number[]>
}
export interface Graph {
  inputs: Tensor[]
  nodes: Node[]
  initializers: (Tensor & { data: Uint8Array })[]
}

type Value = number | Uint8Array
const text = (value: Value) => new TextDecoder().decode(value as Uint8Array)

/** A message's fields in order. Varints come as numbers of 64 bits with a sign. */
function fields(bytes: Uint8Array): Map<number, Value[]> {
  const found = new Map<number, Value[]>()
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = bytes[at++]
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return value
    }
  }
  while (at < bytes.length) {
    const tag = Number(varint())
    let value: Value
    if (tag % 8 === 0) {
      value = Number(BigInt.asIntN(64, varint()))
    } else if (tag % 8 === 5) {
      value = new DataView(bytes.buffer, bytes.byteOffset + at, 4).getFloat32(0, true)
      at += 4
    } else {
      const length = Number(varint())
      value = bytes.subarray(at, at + length)
      at += length
    }
    found.set(tag >> 3, [...(found.get(tag >> 3) ?? []), value])
  }
  return found
}

const all = (message: Map<number, Value[]>, field: number) => message.get(field) ?? []
const sub = (message: Map<number, Value[]>, field: number) => fields(all(message, field)[0] as Uint8Array)
const string = (message: Map<number, Value[]>, field: number) => (message.has(field) ? text(all(message, field)[0]) : '')

function valueInfo(bytes: Value): Tensor {
  const message = fields(bytes as Uint8Array)
  const tensor = sub(sub(message, 2), 1)
  const dimensions = all(sub(tensor, 2), 1).map((one) => fields(one as Uint8Array))
  return {
    name: string(message, 1),
    type: all(tensor, 1)[0] as number,
    shape: dimensions.map((d) => (d.has(1) ? (all(d, 1)[0] as number) : string(d, 2))),
  }
}

function attribute(message: Map<number, Value[]>): number | string | number[] {
  switch (all(message, 20)[0]) {
    case 1:
      return all(message, 2)[0] as number
    case 2:
      return all(message, 3)[0] as number
    case 3:
      return string(message, 4)
    default:
      return all(message, 8) as number[]
  }
}

export function readGraph(model: Uint8Array): Graph {
  const graph = sub(fields(model), 7)
  return {
    inputs: all(graph, 11).map(valueInfo),
    nodes: all(graph, 1).map((bytes) => {
      const node = fields(bytes as Uint8Array)
      const attributes = all(node, 5).map((one) => fields(one as Uint8Array))
      return {
        op: string(node, 4),
        domain: string(node, 7),
        inputs: all(node, 1).map(text),
        outputs: all(node, 2).map(text),
        attributes: Object.fromEntries(attributes.map((one) => [string(one, 1), attribute(one)])),
      }
    }),
    initializers: all(graph, 5).map((bytes) => {
      const tensor = fields(bytes as Uint8Array)
      return {
        name: string(tensor, 8),
        type: all(tensor, 2)[0] as number,
        shape: all(tensor, 1) as number[],
        data: (all(tensor, 9)[0] as Uint8Array) ?? new Uint8Array(0),
      }
    }),
  }
}
