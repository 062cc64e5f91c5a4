/** An ONNX graph under construction, and its serialization (onnx/onnx.proto, field numbers in the comments there). */
import { Message } from './protobuf.ts'

/** TensorProto.DataType; `float8` is FLOAT8E4M3FN, the form that KV caches use. */
export const DATA_TYPE = { float32: 1, uint8: 2, int8: 3, int32: 6, int64: 7, float16: 10, bfloat16: 16, float8: 17 } as const
export type ElementType = keyof typeof DATA_TYPE

const IR_VERSION = 10
/** 20 is the first with Gelu's tanh form. */
const OPSETS = { '': 20, 'com.microsoft': 1, lorikeet: 1 } as const
export type Domain = keyof typeof OPSETS

/** Numbers are written as INT when `int` wraps them, as FLOAT otherwise. */
export type Attribute = { int: number } | { float: number } | { ints: number[] } | { string: string }

/** A dimension by value or by name. */
export type Dimension = number | string

export class OnnxGraph {
  private readonly graph = new Message()
  private readonly names = new Set<string>()

  input(name: string, type: ElementType, shape: Dimension[]): string {
    this.graph.message(11, valueInfo(name, type, shape))
    return name
  }

  output(name: string, type: ElementType, shape: Dimension[]): void {
    this.graph.message(12, valueInfo(name, type, shape))
  }

  /** States the type and shape of a custom op's output: ONNX Runtime infers none, and reuses an input's buffer only for an output of the same known shape. */
  shape(name: string, type: ElementType, shape: Dimension[]): string {
    this.graph.message(13, valueInfo(name, type, shape))
    return name
  }

  /** A constant that the graph carries; `data` as it lies in memory, little endian. */
  constant(name: string, type: ElementType, shape: number[], data: Uint8Array): string {
    const tensor = new Message()
    for (const d of shape) tensor.int(1, d)
    tensor.int(2, DATA_TYPE[type]).string(8, name).bytesField(9, data)
    this.graph.message(5, tensor)
    return name
  }

  /** A constant whose data the session gets as an external initializer of this name. */
  external(name: string, type: ElementType, shape: number[]): string {
    const tensor = new Message()
    for (const d of shape) tensor.int(1, d)
    tensor.int(2, DATA_TYPE[type]).string(8, name)
    tensor.message(13, new Message().string(1, 'location').string(2, 'mapped'))
    tensor.int(14, 1) // data_location = EXTERNAL
    this.graph.message(5, tensor)
    return name
  }

  /** Adds a node; its outputs get the names given. An absent optional input or output is ''. */
  node(
    op: string,
    inputs: string[],
    outputs: string[],
    attributes: Record<string, Attribute> = {},
    domain: Domain = '',
  ): string[] {
    const node = new Message()
    for (const name of inputs) node.string(1, name)
    for (const name of outputs) {
      if (this.names.has(name)) throw new Error(`two nodes write ${name}`)
      if (name) this.names.add(name)
      node.string(2, name)
    }
    node.string(3, outputs[0]).string(4, op)
    for (const [name, value] of Object.entries(attributes)) node.message(5, attribute(name, value))
    if (domain) node.string(7, domain)
    this.graph.message(1, node)
    return outputs
  }

  /** The same for the common case of one output. */
  op(op: string, inputs: string[], output: string, attributes: Record<string, Attribute> = {}, domain: Domain = ''): string {
    return this.node(op, inputs, [output], attributes, domain)[0]
  }

  serialize(): Uint8Array {
    const model = new Message().int(1, IR_VERSION).string(2, 'lorikeet')
    this.graph.string(2, 'lorikeet')
    model.message(7, this.graph)
    for (const [domain, version] of Object.entries(OPSETS)) model.message(8, new Message().string(1, domain).int(2, version))
    return model.bytes()
  }
}

function valueInfo(name: string, type: ElementType, shape: Dimension[]): Message {
  const dims = new Message()
  for (const d of shape) dims.message(1, typeof d === 'number' ? new Message().int(1, d) : new Message().string(2, d))
  const tensor = new Message().int(1, DATA_TYPE[type]).message(2, dims)
  return new Message().string(1, name).message(2, new Message().message(1, tensor))
}

function attribute(name: string, value: Attribute): Message {
  const message = new Message().string(1, name)
  if ('int' in value) return message.int(3, value.int).int(20, 2)
  if ('float' in value) return message.float(2, value.float).int(20, 1)
  if ('string' in value) return message.string(4, value.string).int(20, 3)
  for (const v of value.ints) message.int(8, v)
  return message.int(20, 7)
}
