/**
 * The loader's inner loops. Addresses are bytes in the module's memory, counts are elements and, unless said otherwise, multiples of 8 greater than
 * 0 (rows are padded, see workspace.ts). Floats are float32.
 */
import { assemble } from './assembler.ts'
import { decodeBfloat16, decodeFloat16, encodeBfloat16, encodeFloat16, encodeFloat32, largest, transpose } from './conversions.ts'
import { products, square } from './products.ts'

/** What is used of the WebAssembly API, whose types come with the browser's only. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object
  Instance: new (module: object) => { exports: unknown }
}

export interface Kernels {
  /** In pages of 65,536 bytes. Growing it detaches the buffer. */
  memory: { readonly buffer: ArrayBuffer; grow(pages: number): number }
  decodeFloat16(source: number, target: number, count: number): void
  decodeBfloat16(source: number, target: number, count: number): void
  /** target = source · factor, rounded to nearest, ties to even. Nothing may overflow. */
  encodeFloat16(source: number, target: number, count: number, factor: number): void
  encodeBfloat16(source: number, target: number, count: number, factor: number): void
  encodeFloat32(source: number, target: number, count: number, factor: number): void
  /** Bits of the largest magnitude; 0x7f800000 or more if any value is infinite or no number. */
  largest(source: number, count: number): number
  /** Shape: source [rows, columns] to target [columns, stride]; rows and columns multiples of 4. */
  transpose(source: number, target: number, rows: number, columns: number, stride: number): void
  /** Σ source². */
  square(source: number, count: number): number
  /**
   * sums[o, j] += left[o] · right[j]. Shape: left [rows, count] and right [rank, count] at their strides (elements), sums [rows, rank] float64; rows
   * a multiple of 2, rank of 4. Sums of `count` terms are float32's.
   */
  products(
    left: number,
    leftStride: number,
    rows: number,
    right: number,
    rightStride: number,
    rank: number,
    count: number,
    sums: number,
  ): void
}

/** A memory of its own, growing as it is asked for. */
export function instantiate(): Kernels {
  const functions = [
    ...[decodeFloat16, decodeBfloat16, encodeFloat16, encodeBfloat16, encodeFloat32],
    ...[largest, transpose, square, products],
  ]
  const module = new WebAssembly.Module(assemble(functions))
  return new WebAssembly.Instance(module).exports as unknown as Kernels
}
