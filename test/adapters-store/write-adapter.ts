/** Adapter folders made for one test: from scratch or a fixture with something changed. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readSafetensorsHeader } from '../../adapters-store/checkpoint/index.ts'
import { fixture, readJson, temporaryFolder } from '../support/repo.ts'

export interface TensorSource {
  /** As safetensors spells it: F32, BF16, … */
  dtype: string
  shape: number[]
  bytes: Uint8Array
}

export type Tensors = Record<string, TensorSource>
export type Config = Record<string, unknown>

const SPELLING: Record<string, string> = { float32: 'F32', float16: 'F16', bfloat16: 'BF16', int64: 'I64', int32: 'I32' }

export function floats(shape: number[], value: (i: number) => number = (i) => ((i * 7) % 11) / 10 - 0.5): TensorSource {
  const values = Float32Array.from({ length: shape.reduce((product, size) => product * size, 1) }, (_, i) => value(i))
  return { dtype: 'F32', shape, bytes: new Uint8Array(values.buffer) }
}

export function safetensorsBytes(tensors: Tensors): Uint8Array {
  const header: Record<string, unknown> = {}
  let offset = 0
  for (const [name, { dtype, shape, bytes }] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [offset, offset + bytes.length] }
    offset += bytes.length
  }
  return withHeader(JSON.stringify(header), Buffer.concat(Object.values(tensors).map(({ bytes }) => bytes)))
}

export function withHeader(header: string, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  const json = Buffer.from(header)
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  return Buffer.concat([length, json, data])
}

export function readTensors(file: string): Tensors {
  const bytes = readFileSync(file)
  return Object.fromEntries(
    [...readSafetensorsHeader(file)].map(([name, { dtype, shape, offset, length }]) => [
      name,
      { dtype: SPELLING[dtype], shape, bytes: bytes.subarray(offset, offset + length) },
    ]),
  )
}

export function writeAdapter(folder: string, config: Config, tensors: Tensors): string {
  writeFileSync(join(folder, 'adapter_config.json'), JSON.stringify(config))
  writeFileSync(join(folder, 'adapter_model.safetensors'), safetensorsBytes(tensors))
  return folder
}

/** A copy of test/fixtures/peft/<path> after `change`, removed with the test. */
export function changedFixture(
  t: { teardown(handler: () => void): unknown },
  path: string,
  change: (config: Config, tensors: Tensors) => void,
): string {
  const source = fixture('peft', path)
  const config = readJson<Config>(join(source, 'adapter_config.json'))
  const tensors = readTensors(join(source, 'adapter_model.safetensors'))
  change(config, tensors)
  return writeAdapter(temporaryFolder(t), config, tensors)
}
