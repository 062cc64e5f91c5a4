/** The two files of a PEFT adapter, each read once: the digest is of the bytes that are folded. */
import { createHash } from 'node:crypto'
import { closeSync, existsSync, fstatSync, openSync, readdirSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { AdapterError } from './errors.ts'

export const CONFIG_FILE = 'adapter_config.json'
export const WEIGHTS_FILE = 'adapter_model.safetensors'

/** AdaLoRA writes a boolean per rank and module into the config: a few hundred kB at most. */
const CONFIG_LIMIT = 16 << 20
/** What one Uint8Array can hold. */
const WEIGHTS_LIMIT = 2 ** 32 - 1
/** One read call takes at most 2^31 - 1 bytes. */
const READ_LIMIT = 1 << 30

const PICKLE = /\.(bin|pt|pth|ckpt)$/

export interface AdapterFiles {
  config: Record<string, unknown>
  configFile: string
  weights: Uint8Array
  weightsFile: string
  digest: string
}

export function readAdapterFiles(directory: string): AdapterFiles {
  const configFile = join(directory, CONFIG_FILE)
  const weightsFile = join(directory, WEIGHTS_FILE)
  if (!existsSync(directory)) throw new AdapterError('adapter_not_found', `${directory} does not exist`)
  if (!existsSync(configFile))
    throw new AdapterError('adapter_not_found', `${directory} has no ${CONFIG_FILE}: it is no PEFT adapter folder`)
  if (!existsSync(weightsFile)) throw missingWeights(directory)
  const configBytes = readWhole(configFile, CONFIG_LIMIT)
  const weights = readWhole(weightsFile, WEIGHTS_LIMIT)
  return {
    config: parseConfig(configFile, configBytes),
    configFile,
    weights,
    weightsFile,
    digest: digestOf(configBytes, weights),
  }
}

/** SHA-256 over both files, each preceded by its length in 8 bytes (little endian), so that no byte can move from one to the other. */
function digestOf(config: Uint8Array, weights: Uint8Array): string {
  const hash = createHash('sha256')
  for (const bytes of [config, weights]) {
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(bytes.length))
    hash.update(length)
    for (let start = 0; start < bytes.length; start += READ_LIMIT) hash.update(bytes.subarray(start, start + READ_LIMIT))
  }
  return hash.digest('hex')
}

function missingWeights(directory: string): AdapterError {
  let names: string[] = []
  try {
    names = readdirSync(directory)
  } catch {
    // Falls through to the general message.
  }
  const pickle = names.find((name) => PICKLE.test(name))
  if (!pickle) return new AdapterError('adapter_not_found', `${directory} has no ${WEIGHTS_FILE}`)
  const convert =
    'python -c "import sys, torch; from safetensors.torch import save_file; ' +
    `save_file(torch.load(sys.argv[1], map_location='cpu', weights_only=True), sys.argv[2])" ${pickle} ${WEIGHTS_FILE}`
  return new AdapterError(
    'adapter_pickle',
    `${join(directory, pickle)} is a Python pickle, which runs code when it is read, so it is refused. Convert it in that folder: ${convert}`,
  )
}

function parseConfig(file: string, bytes: Uint8Array): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    throw new AdapterError('adapter_config_invalid', `${file} is not JSON: ${(error as Error).message}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new AdapterError('adapter_config_invalid', `${file} is not a JSON object`)
  }
  return value as Record<string, unknown>
}

function readWhole(file: string, limit: number): Uint8Array {
  let descriptor: number | undefined
  try {
    descriptor = openSync(file, 'r')
    const status = fstatSync(descriptor)
    if (!status.isFile()) throw new AdapterError('adapter_unreadable', `${file} is not a file`)
    if (status.size > limit)
      throw new AdapterError('adapter_too_large', `${file} has ${status.size} bytes; at most ${limit} are read`)
    const bytes = new Uint8Array(status.size)
    let done = 0
    while (done < bytes.length) {
      const got = readSync(descriptor, bytes, done, Math.min(READ_LIMIT, bytes.length - done), done)
      if (got === 0) throw new AdapterError('adapter_unreadable', `${file} shrank while it was read`)
      done += got
    }
    return bytes
  } catch (error) {
    if (error instanceof AdapterError) throw error
    throw new AdapterError('adapter_unreadable', `${file} cannot be read: ${(error as Error).message}`)
  } finally {
    if (descriptor !== undefined) closeSync(descriptor)
  }
}
