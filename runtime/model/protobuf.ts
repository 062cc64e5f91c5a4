/** Writing protocol buffers: just what ONNX's messages need. Wire format: https://protobuf.dev/programming-guides/encoding/. */

const VARINT = 0
const LENGTH_DELIMITED = 2
const FIXED32 = 5

/** One message: fields are appended in call order; `bytes()` gives the encoding. Parts are kept apart until then, so big tensors are copied once. */
export class Message {
  private readonly parts: Uint8Array[] = []
  private size = 0

  /** int32, int64, enum, bool: numbers up to 2^53, negative ones as 64-bit two's complement. */
  int(field: number, value: number): this {
    return this.tag(field, VARINT).varint(value)
  }

  float(field: number, value: number): this {
    const bytes = new Uint8Array(4)
    new DataView(bytes.buffer).setFloat32(0, value, true)
    return this.tag(field, FIXED32).append(bytes)
  }

  bytesField(field: number, value: Uint8Array): this {
    return this.tag(field, LENGTH_DELIMITED).varint(value.byteLength).append(value)
  }

  string(field: number, value: string): this {
    return this.bytesField(field, new TextEncoder().encode(value))
  }

  message(field: number, value: Message): this {
    this.tag(field, LENGTH_DELIMITED).varint(value.size)
    for (const part of value.parts) this.append(part)
    return this
  }

  bytes(): Uint8Array {
    const all = new Uint8Array(this.size)
    let at = 0
    for (const part of this.parts) {
      all.set(part, at)
      at += part.byteLength
    }
    return all
  }

  private tag(field: number, wire: number): this {
    return this.varint(field * 8 + wire)
  }

  private varint(value: number): this {
    const bytes: number[] = []
    let rest = BigInt.asUintN(64, BigInt(value))
    do {
      const low = Number(rest & 127n)
      rest >>= 7n
      bytes.push(rest ? low | 128 : low)
    } while (rest)
    return this.append(Uint8Array.from(bytes))
  }

  private append(part: Uint8Array): this {
    this.parts.push(part)
    this.size += part.byteLength
    return this
  }
}
