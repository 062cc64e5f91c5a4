/** The two files of a PEFT adapter, each read once: the digest is of the bytes that are folded. */
import { createHash, type Hash } from 'node:crypto'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { CheckpointError, withFile } from './checkpoint/index.ts'
import { AdapterError } from './errors.ts'
import { CONFIG_FILE, notAnAdapter, WEIGHTS_FILE } from './folders.ts'

export { CONFIG_FILE, WEIGHTS_FILE }

/** AdaLoRA writes a boolean per rank and module into the config: a few hundred kB at most. */
const CONFIG_LIMIT = 16 << 20
/** What one Uint8Array can hold. */
const WEIGHTS_LIMIT = 2 ** 32 - 1
/** What is read and hashed at a time: still in the cache when it is hashed. */
const PIECE = 512 << 10

const PICKLE = /\.(bin|pt|pth|ckpt)$/
const ADAPTER_PICKLE = /^adapter_model\.(bin|pt|pth|ckpt)$/
/** What a trainer leaves in a checkpoint beside the weights. */
const TRAINING = /^(optimizer|scheduler|scaler|training_args|rng_state|random_states|global_step)/

export interface AdapterFiles {
  config: Record<string, unknown>
  configFile: string
  weights: Uint8Array
  weightsFile: string
  digest: string
}

/**
 * Where weights are read to, one adapter after the other: fresh memory costs more than reading a cached file (the system clears it page by page).
 * Shared, so that other threads can help with what is in it.
 */
export class FileMemory {
  #buffer = new SharedArrayBuffer(0)

  /** Contents undefined; the bytes given out before are void. */
  take(bytes: number): Uint8Array {
    if (this.#buffer.byteLength < bytes) {
      this.#buffer = new SharedArrayBuffer(0) // so that the old can go before the new one comes
      this.#buffer = new SharedArrayBuffer(bytes)
    }
    return new Uint8Array(this.#buffer, 0, bytes)
  }

  release(): void {
    this.#buffer = new SharedArrayBuffer(0)
  }
}

/** `weights` lies in `memory`. */
export function readAdapterFiles(directory: string, memory: FileMemory): AdapterFiles {
  const configFile = join(directory, CONFIG_FILE)
  const weightsFile = join(directory, WEIGHTS_FILE)
  if (!existsSync(configFile)) throw new AdapterError('adapter_not_found', notAnAdapter(directory))
  if (!existsSync(weightsFile)) throw missingWeights(directory)
  const hash = createHash('sha256')
  const configBytes = readWhole(configFile, CONFIG_LIMIT, hash, (size) => new Uint8Array(size))
  const weights = readWhole(weightsFile, WEIGHTS_LIMIT, hash, (size) => memory.take(size))
  return { config: parseConfig(configFile, configBytes), configFile, weights, weightsFile, digest: hash.digest('hex') }
}

function missingWeights(directory: string): AdapterError {
  let names: string[] = []
  try {
    names = readdirSync(directory)
  } catch {
    // Falls through to the general message.
  }
  const pickle =
    names.find((name) => ADAPTER_PICKLE.test(name)) ?? names.find((name) => PICKLE.test(name) && !TRAINING.test(name))
  if (!pickle) {
    const other = names.find((name) => name.endsWith('.safetensors'))
    const instead = other ? `; it has ${other}, but PEFT's file has that name` : ''
    return new AdapterError('adapter_not_found', `${directory} has no ${WEIGHTS_FILE}${instead}`)
  }
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

/**
 * The digest is SHA-256 over both files, each preceded by its length in 8 bytes (little endian), so that no byte can move from one to the other;
 * it is taken of the bytes that are returned.
 */
function readWhole(name: string, limit: number, hash: Hash, allocate: (size: number) => Uint8Array): Uint8Array {
  try {
    return withFile(name, (file) => {
      if (file.size > limit)
        throw new AdapterError('adapter_too_large', `${name} has ${file.size} bytes; at most ${limit} are read`)
      const length = Buffer.alloc(8)
      length.writeBigUInt64LE(BigInt(file.size))
      hash.update(length)
      const bytes = allocate(file.size)
      for (let done = 0; done < bytes.length; done += PIECE)
        hash.update(file.read(bytes.subarray(done, Math.min(done + PIECE, bytes.length)), done))
      return bytes
    })
  } catch (error) {
    if (error instanceof CheckpointError) throw new AdapterError('adapter_unreadable', error.message)
    throw error
  }
}
