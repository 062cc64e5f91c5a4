/** Floats of the types that checkpoints have. The conversions are the addon's (native/numeric/half.h): round to nearest, ties to even. */
import { loadNative } from './index.ts'
import type { AdapterDtype, TensorType } from './types.ts'

/** Largest magnitude that does not round to infinity. Of int8 rows: what their scale can be. */
export const LARGEST: Record<AdapterDtype, number> = {
  float16: 65504,
  bfloat16: 3.3895313892515355e38,
  float32: 3.4028234663852886e38,
  int8: 3.4028234663852886e38,
}

export function elementBytes(dtype: AdapterDtype): number {
  return dtype === 'float32' ? 4 : dtype === 'int8' ? 1 : 2
}

/** Decodes `bytes` (little endian, any alignment) into `into`, which sets the number of elements. */
export function decodeFloats(dtype: TensorType | 'float64', bytes: Uint8Array, into: Float32Array): void {
  if (dtype === 'float64') {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    for (let i = 0; i < into.length; i++) into[i] = view.getFloat64(8 * i, true)
    return
  }
  loadNative().fold.convert(bytes.subarray(0, elementBytes(dtype) * into.length), dtype, into, 'float32')
}

/** The values in `dtype`, as they lie in memory; what exceeds it becomes infinite. */
export function encodeFloats(dtype: TensorType, values: Float32Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(elementBytes(dtype) * values.length)
  loadNative().fold.convert(values, 'float32', bytes, dtype)
  return bytes
}

/** Of the values; Infinity if one of them is infinite or no number. */
export function largestMagnitude(values: Float32Array): number {
  return loadNative().fold.largest({ dtype: 'float32', rows: 1, columns: values.length, data: values }, 1)
}
