/**
 * Adapter folders gone wrong, loaded as the server loads them: each is refused with an AdapterError that says why, or becomes an image that serves a request
 * beside a sound one. Meant for the sanitized addon (.ci/fuzz): a crash is a report there.
 */
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { AdapterError, type AdapterImage, AdapterStore } from '../../adapters-store/index.ts'
import type { Engine } from '../../runtime/types.ts'
import { readTensors, safetensorsBytes, type TensorSource } from '../adapters-store/write-adapter.ts'
import { ask } from '../support/ask.ts'
import { idleComplaints, OracleFamily } from '../support/oracle.ts'
import { testRegistry } from '../support/registry.ts'
import { fixture, readJson } from '../support/repo.ts'
import { changed, changedBytes, type Json, jsonBytes, oddText } from './odd.ts'
import { Fault, type Random, run } from './trial.ts'

const CONFIG = 'adapter_config.json'
const WEIGHTS = 'adapter_model.safetensors'
const LONGEST_MESSAGE = 2000

const scratch = mkdtempSync(path.join(tmpdir(), 'lorikeet-fuzz-'))
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))

interface Base {
  engine: Engine
  store: AdapterStore
  /** A sound adapter and what it answers. */
  sound: AdapterImage
  right: string
  /** Folders to begin with. */
  folders: string[]
}

const PROMPT = [1, 5, 3]

async function baseOf(family: string, folders: string[]): Promise<Base> {
  const oracle = new OracleFamily(family)
  // Some adapters push each other out.
  const engine = await oracle.start(oracle.leastBlocks + 40, {
    maxBatchTokens: 32,
    maxSequences: 4,
    threads: 1,
    maxModelLen: 128,
  })
  const store = new AdapterStore(oracle.model.base, {
    dtype: engine.info.adapterDtype,
    blockBytes: engine.info.blockBytes,
    frameBytes: engine.info.frameBytes,
  })
  const sound = [...oracle.images.values()][0]
  const { tokens } = await ask(engine, PROMPT, {}, [{ name: sound.name, digest: sound.digest, weight: 1 }])
  return { engine, store, sound, right: String(tokens), folders }
}

const adaptersOf = (...parts: string[]) => readdirSync(fixture(...parts)).map((name) => fixture(...parts, name))
const bases = await Promise.all(
  ['llama', 'gemma2', 'phi3', 'qwen3'].map((family) => baseOf(family, adaptersOf('oracle', family, 'adapters'))),
)

/** Payloads that are numbers and no weights. */
function oddNumbers(random: Random, { dtype, bytes }: TensorSource): Uint8Array {
  const copy = Buffer.from(bytes)
  const width = dtype === 'F32' ? 4 : 2
  const odd =
    dtype === 'F32'
      ? [0x7fc00000, 0x7f800000, 0xff800000, 0x00000001, 0x7f7fffff]
      : [0x7e00, 0x7c00, 0xfc00, 0x0001, 0x7bff, 0x7f80]
  const values = random.below(2) ? [random.pick(odd)] : odd
  const times = random.pick([1, 2, copy.length / width])
  for (let i = 0; i < times; i++) {
    const at = width * random.below(Math.floor(copy.length / width))
    if (at + width > copy.length) break
    if (width === 4) copy.writeUInt32LE(random.pick(values), at)
    else copy.writeUInt16LE(random.pick(values), at)
  }
  return copy
}

/** The weights with tensors changed, and a file that is whole again. */
function otherTensors(random: Random, file: string): Uint8Array {
  const tensors = readTensors(file)
  for (let i = 0; i < 1 + random.below(3); i++) {
    const name = random.pick(Object.keys(tensors))
    const tensor = tensors[name]
    if (!tensor) break
    switch (random.below(8)) {
      case 0:
        delete tensors[name]
        break
      case 1:
        delete tensors[name]
        tensors[random.below(2) ? name.replace(/\d+/, String(random.pick([0, 7, 999_999, 2 ** 53]))) : name + oddText(random)] =
          tensor
        break
      case 2:
        tensor.shape = tensor.shape.toReversed()
        break
      case 3:
        tensor.shape = random.pick([[], [0], [1, ...tensor.shape], [tensor.shape.reduce((a, b) => a * b, 1)]])
        if (tensor.shape[0] === 0) tensor.bytes = new Uint8Array()
        break
      case 4:
        tensor.dtype = random.pick(['F32', 'F16', 'BF16', 'I32', 'I64', 'F64', 'U8', 'BOOL'])
        break
      case 5: {
        // Another rank: fewer rows, or more.
        const [rows, ...rest] = tensor.shape
        const bytes = tensor.bytes.length / Math.max(1, rows)
        const count = random.pick([0, 1, rows - 1, rows + 1, rows * 2])
        if (count < 0) break
        tensor.shape = [count, ...rest]
        tensor.bytes = Buffer.alloc(bytes * count, Buffer.from(tensor.bytes))
        break
      }
      default:
        tensor.bytes = oddNumbers(random, tensor)
    }
  }
  return safetensorsBytes(tensors)
}

/** Changes a copy of an adapter folder in one way or two. */
function damage(random: Random, folder: string): void {
  const config = path.join(folder, CONFIG)
  const weights = path.join(folder, WEIGHTS)
  const either = random.pick([config, weights])
  switch (random.below(14)) {
    case 0:
      rmSync(either)
      break
    case 1:
      rmSync(either)
      mkdirSync(either)
      break
    case 2:
      rmSync(either)
      execFileSync('mkfifo', [either])
      break
    case 3: {
      const elsewhere = path.join(folder, 'elsewhere')
      renameSync(either, elsewhere)
      symlinkSync(random.pick([elsewhere, either, '/dev/zero', '/etc/passwd', '/proc/self/mem', folder]), either)
      break
    }
    case 4:
      // Sparse: it takes no place on the disk.
      truncateSync(either, random.pick([0, 7, 8, 2 ** 25, 2 ** 32 + 5, 2 ** 40]))
      break
    case 5:
      writeFileSync(weights, changedBytes(random, readFileSync(weights)))
      break
    case 6: {
      const bytes = readFileSync(weights)
      const end = 8 + Number(bytes.readBigUInt64LE(0))
      writeFileSync(weights, Buffer.concat([changedBytes(random, bytes.subarray(0, end)), bytes.subarray(end)]))
      break
    }
    case 7: {
      const bytes = readFileSync(weights)
      const end = 8 + Number(bytes.readBigUInt64LE(0))
      const header = jsonBytes(random, changed(random, JSON.parse(bytes.toString('utf8', 8, end)) as Json))
      const length = Buffer.alloc(8)
      length.writeBigUInt64LE(BigInt(header.length))
      writeFileSync(weights, Buffer.concat([length, header, bytes.subarray(end)]))
      break
    }
    case 8:
    case 9:
    case 10:
      writeFileSync(weights, otherTensors(random, weights))
      break
    default:
      writeFileSync(config, jsonBytes(random, changed(random, readJson<Json>(config))))
  }
}

async function serve({ engine, sound, right }: Base, image: AdapterImage): Promise<string> {
  engine.addAdapter(image)
  const use = { name: image.name, digest: image.digest, weight: 1 }
  const soundUse = { name: sound.name, digest: sound.digest, weight: 1 }
  try {
    // A mix too, unless it is the sound one itself.
    const [alone, beside] = await Promise.all([
      ask(engine, PROMPT, {}, [use]),
      ask(engine, PROMPT, {}, [soundUse]),
      ...(image.digest === sound.digest ? [] : [ask(engine, PROMPT, {}, [use, { ...soundUse, weight: 0.5 }])]),
    ])
    if (String(beside.tokens) !== right)
      throw new Fault(`the sound adapter beside it answers ${beside.tokens} instead of ${right} (${beside.error})`)
    if (alone.finish === 'error' && !alone.error) throw new Fault('it failed without a word')
    return alone.finish === 'error' ? 'loaded, its request failed with a reason' : 'served'
  } finally {
    if (image.digest !== sound.digest) engine.removeAdapter(image.digest)
  }
}

let made = 0
async function attempt(random: Random): Promise<string> {
  const base = random.pick(bases)
  const folder = path.join(scratch, `${made++}`)
  cpSync(random.pick(base.folders), folder, { recursive: true })
  damage(random, folder)
  const name = random.below(5) ? 'damaged' : oddText(random)
  try {
    const { registry } = testRegistry((...args) => base.store.load(...args))
    const adapter = registry.enter(name, folder)
    await registry.lease([adapter])
    return await serve(base, adapter.image as AdapterImage)
  } catch (error) {
    if (!(error instanceof AdapterError)) throw error
    if (error.code === 'adapter_loader_lost') throw new Fault(`the loader died: ${error.message}`)
    if (error.message.length > LONGEST_MESSAGE)
      throw new Fault(`a message of ${error.message.length} characters: ${error.message.slice(0, 300)}`)
    return 'refused'
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

async function end(): Promise<void> {
  for (const { engine, store } of bases) {
    await engine.idle()
    const complaints = idleComplaints(engine.snapshot)
    if (complaints.length > 0) throw new Fault(`the pool: ${complaints.join(', ')}`)
    await store.close()
    await engine.close()
  }
}

await run({ name: 'adapters', attempt, expected: ['served', 'refused'], patience: 30_000, end })
