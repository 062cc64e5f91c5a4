/**
 * The safetensors header, read and checked. Format (huggingface/safetensors, README "Format"): 8 bytes N, little endian; N bytes of JSON
 * `{"name": {"dtype", "shape", "data_offsets": [begin, end]}, "__metadata__": {…}}`; then the data, which the offsets count from.
 */
import type { TensorRef } from '../../native/types.ts'
import { CheckpointError } from './errors.ts'
import { type OpenFile, withFile } from './file.ts'
import { jsonReason } from './reasons.ts'

/** The reference reader's own limit. */
const HEADER_LIMIT = 100_000_000

const DTYPES: Record<string, { dtype: TensorRef['dtype']; bytes: number }> = {
  F64: { dtype: 'float64', bytes: 8 },
  F32: { dtype: 'float32', bytes: 4 },
  F16: { dtype: 'float16', bytes: 2 },
  BF16: { dtype: 'bfloat16', bytes: 2 },
  I64: { dtype: 'int64', bytes: 8 },
  I32: { dtype: 'int32', bytes: 4 },
  I8: { dtype: 'int8', bytes: 1 },
  U8: { dtype: 'uint8', bytes: 1 },
  BOOL: { dtype: 'bool', bytes: 1 },
}

/**
 * Reads only the header of `file`. Offsets in the result count from the start of the file.
 * Throws CheckpointError `checkpoint_invalid` (what the file says that cannot be) or `checkpoint_unreadable` (the system's reason).
 */
export function readSafetensorsHeader(file: string): Map<string, TensorRef> {
  return withFile(file, (open) => readHeader(open).tensors)
}

/** The same of an open file; `bytes` are its first, to the header's end, as they were read. */
export function readHeader(open: OpenFile): { tensors: Map<string, TensorRef>; bytes: Uint8Array } {
  const { name, size } = open
  const prefix = open.read(new Uint8Array(Math.min(8, size)), 0)
  const bytes = new Uint8Array(8 + headerLength(name, prefix, size))
  open.read(bytes, 0)
  return { tensors: parseHeader(name, bytes.subarray(8), size), bytes }
}

function invalid(file: string, what: string): CheckpointError {
  return new CheckpointError('checkpoint_invalid', `${file} is not a valid safetensors file: ${what}`)
}

function headerLength(file: string, prefix: Uint8Array, size: number): number {
  if (prefix.length < 8) throw invalid(file, `it has ${size} bytes, fewer than the 8 of the header's length`)
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true)
  if (length > BigInt(HEADER_LIMIT))
    throw invalid(file, `its header would be ${length} bytes; at most ${HEADER_LIMIT} are allowed`)
  if (length > BigInt(size - 8))
    throw invalid(file, `its header would be ${length} bytes, but only ${size - 8} follow (a cut-off file?)`)
  return Number(length)
}

function parseHeader(file: string, bytes: Uint8Array, size: number): Map<string, TensorRef> {
  let header: unknown
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    throw invalid(file, `its header is not JSON (${jsonReason(error)})`)
  }
  if (!isObject(header)) throw invalid(file, 'its header is not a JSON object')
  const dataStart = 8 + bytes.length
  const tensors = new Map<string, TensorRef>()
  for (const [name, entry] of Object.entries(header)) {
    if (name !== '__metadata__') tensors.set(name, tensorRef(file, name, entry, dataStart, size - dataStart))
  }
  requireApart(file, tensors)
  // As in the reference reader: bytes that belong to no tensor are not read, however many they are.
  const held = [...tensors.values()].reduce((sum, { length }) => sum + length, 0)
  if (held !== size - dataStart) throw invalid(file, `its tensors take ${held} bytes, but ${size - dataStart} follow the header`)
  return tensors
}

/** No byte belongs to two tensors. Empty ones own none, so they stand aside: between two that overlap they would part neighbours. */
function requireApart(file: string, tensors: Map<string, TensorRef>): void {
  const byOffset = [...tensors].filter(([, { length }]) => length > 0).sort(([, a], [, b]) => a.offset - b.offset)
  for (let i = 1; i < byOffset.length; i++) {
    const [before, a] = byOffset[i - 1]
    const [name, b] = byOffset[i]
    if (b.offset < a.offset + a.length) throw invalid(file, `tensors ${before} and ${name} overlap`)
  }
}

function tensorRef(file: string, name: string, entry: unknown, dataStart: number, dataBytes: number): TensorRef {
  if (!isObject(entry)) throw invalid(file, `the entry of tensor ${name} is not an object`)
  const { dtype, shape, data_offsets: offsets } = entry
  const type = typeof dtype === 'string' && Object.hasOwn(DTYPES, dtype) ? DTYPES[dtype] : undefined
  if (!type) throw invalid(file, `tensor ${name} has dtype ${JSON.stringify(dtype)}; known are ${Object.keys(DTYPES).join(', ')}`)
  if (!isCounts(shape))
    throw invalid(file, `tensor ${name} has shape ${JSON.stringify(shape)}; an array of integers >= 0 is expected`)
  if (!isCounts(offsets) || offsets.length !== 2 || offsets[0] > offsets[1]) {
    throw invalid(file, `tensor ${name} has data_offsets ${JSON.stringify(offsets)}; [begin, end] is expected`)
  }
  const [begin, end] = offsets
  if (end > dataBytes) {
    throw invalid(file, `tensor ${name} ends at byte ${end} of the data, but the file has only ${dataBytes} (a cut-off file?)`)
  }
  const expected = shape.reduce((product, size) => product * size, 1) * type.bytes
  if (expected !== end - begin) {
    throw invalid(
      file,
      `tensor ${name} of shape [${shape}] and dtype ${dtype} takes ${expected} bytes, its data_offsets span ${end - begin}`,
    )
  }
  return { file, dtype: type.dtype, shape, offset: dataStart + begin, length: end - begin }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0)
}

/** A tensor's bytes as they lie in its file. */
export function readTensor({ file, offset, length }: TensorRef): Uint8Array {
  return withFile(file, (open) => open.read(new Uint8Array(length), offset))
}
