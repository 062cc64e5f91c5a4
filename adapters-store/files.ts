/** The files of a PEFT adapter, each read once: the digest is of the bytes that are folded. */
import { createHash, type Hash } from 'node:crypto'
import { existsSync, lstatSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { CheckpointError, jsonReason, type OpenFile, readHeader, withFile } from './checkpoint/index.ts'
import { AdapterError } from './errors.ts'
import { CONFIG_FILE, notAnAdapter, WEIGHTS_FILE } from './folders.ts'
import { Root } from './links.ts'
import type { TensorRef } from './types.ts'

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

export interface AdapterWeights<T> {
  /** What the header was found to be. */
  checked: T
  /** The whole file. */
  bytes: Uint8Array
  /** Of both files. */
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
}

/** An adapter's folder: its config is read when it is opened, its weights when it is known that they may be. Errors call the files by their names in it. */
export class AdapterFolder {
  readonly config: Record<string, unknown>
  readonly #directory: string
  readonly #root: Root
  readonly #hash = createHash('sha256')

  /** `root`: where links may lead (links.ts). */
  constructor(directory: string, root: string) {
    if (!existsSync(directory)) throw notAnAdapter(directory)
    this.#root = new Root(root)
    this.#directory = directory
    this.#root.inside(directory, 'the folder')
    if (!existsSync(join(directory, CONFIG_FILE))) throw notAnAdapter(directory)
    if (!existsSync(join(directory, WEIGHTS_FILE))) throw missingWeights(directory)
    this.#root.inside(join(directory, WEIGHTS_FILE), WEIGHTS_FILE)
    this.config = parseConfig(
      this.#open(CONFIG_FILE, CONFIG_LIMIT, (file) => readWhole(file, this.#hash, new Uint8Array(file.size))),
    )
  }

  /**
   * Once. The header comes first: what it does not describe is refused before there is memory for it. `check` is told what the header says, and throws
   * for what cannot be served. The bytes lie in `memory`.
   */
  readWeights<T>(memory: FileMemory, check: (tensors: Map<string, TensorRef>) => T): AdapterWeights<T> {
    return this.#open(WEIGHTS_FILE, WEIGHTS_LIMIT, (file) => {
      const header = headerOf(file)
      const checked = check(header.tensors)
      const bytes = readWhole(file, this.#hash, memory.take(file.size))
      if (Buffer.compare(bytes.subarray(0, header.bytes.length), header.bytes) !== 0)
        throw new AdapterError('adapter_unreadable', `${file.name} changed while it was read`)
      return { checked, bytes, digest: this.#hash.digest('hex') }
    })
  }

  /** The header alone: what `check` makes of it, and the file's bytes. */
  readHeader<T>(check: (tensors: Map<string, TensorRef>) => T): { checked: T; size: number } {
    return this.#open(WEIGHTS_FILE, WEIGHTS_LIMIT, (file) => ({ checked: check(headerOf(file).tensors), size: file.size }))
  }

  /** A file that need not be there: undefined. `limit`: bytes. */
  readOptional(name: string, limit: number): Uint8Array | undefined {
    // A link that leads nowhere is there.
    if (!lstatSync(join(this.#directory, name), { throwIfNoEntry: false })) return undefined
    return this.#open(name, limit, (file) => file.read(new Uint8Array(file.size), 0))
  }

  #open<T>(name: string, limit: number, use: (file: OpenFile) => T): T {
    const resolved = this.#root.inside(join(this.#directory, name), name)
    try {
      return withFile(
        name,
        (file) => {
          if (file.size > limit)
            throw new AdapterError('adapter_too_large', `${name} has ${file.size} bytes; at most ${limit} are read`)
          return use(file)
        },
        resolved,
      )
    } catch (error) {
      if (error instanceof CheckpointError) throw new AdapterError('adapter_unreadable', error.message)
      throw error
    }
  }
}

function headerOf(file: OpenFile): ReturnType<typeof readHeader> {
  try {
    return readHeader(file)
  } catch (error) {
    const invalid = error instanceof CheckpointError && error.code === 'checkpoint_invalid'
    throw invalid ? new AdapterError('safetensors_invalid', error.message) : error
  }
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
    return new AdapterError('adapter_not_found', `the folder has no ${WEIGHTS_FILE}${instead}`)
  }
  const convert =
    'python -c "import sys, torch; from safetensors.torch import save_file; ' +
    `save_file(torch.load(sys.argv[1], map_location='cpu', weights_only=True), sys.argv[2])" ${pickle} ${WEIGHTS_FILE}`
  return new AdapterError(
    'adapter_pickle',
    `${pickle} is a Python pickle, which runs code when it is read, so it is refused. Convert it in that folder: ${convert}`,
  )
}

function parseConfig(bytes: Uint8Array): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (error) {
    throw new AdapterError('adapter_config_invalid', `${CONFIG_FILE} is not JSON: ${jsonReason(error)}`, {
      detail: `${CONFIG_FILE} is not JSON: ${(error as Error).message}`,
    })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new AdapterError('adapter_config_invalid', `${CONFIG_FILE} is not a JSON object`)
  }
  return value as Record<string, unknown>
}

/**
 * The digest is SHA-256 over both files, each preceded by its length in 8 bytes (little endian), so that no byte can move from one to the other;
 * it is taken of the bytes that are returned. `into` is as long as the file.
 */
function readWhole(file: OpenFile, hash: Hash, into: Uint8Array): Uint8Array {
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(file.size))
  hash.update(length)
  for (let done = 0; done < into.length; done += PIECE)
    hash.update(file.read(into.subarray(done, Math.min(done + PIECE, into.length)), done))
  return into
}
