/**
 * How fast adapters come into host memory: the 135M shape's rank-16 adapters (9.8 MB each, all projections), and the same as DoRA, loaded by AdapterStore with one
 * thread and with two, in turns. The floor is what any loader must do: read the file, hash it, write an image of its size into fresh memory.
 * `node dist/bench/load.js [--rounds 5] [--adapters 32]`
 */
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { AdapterStore } from '../adapters-store/index.ts'
import type { BaseModel } from '../adapters-store/types.ts'
import { readBaseModel } from '../runtime/model/index.ts'
import { model135m } from './model135m.ts'
import { heading, median, table } from './report.ts'

const BLOCK_BYTES = 1 << 20
const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, adapters: { type: 'string', default: '32' } },
})
const model = model135m(Number(values.adapters))
const base = readBaseModel(model.directory)
const plain = model.names.map((name) => path.join(model.adapters, name))
const bytes = readFileSync(path.join(plain[0], 'adapter_model.safetensors')).length

/** The first adapter with use_dora: its magnitudes are the norms of the base's rows, as PEFT starts them; here ones, which cost the same. */
function dora(): string {
  const folder = path.join(path.dirname(model.adapters), 'dora')
  if (existsSync(path.join(folder, 'adapter_config.json'))) return folder
  mkdirSync(folder, { recursive: true })
  const file = readFileSync(path.join(plain[0], 'adapter_model.safetensors'))
  const headerBytes = Number(file.readBigUInt64LE(0))
  const header = JSON.parse(file.toString('utf8', 8, 8 + headerBytes)) as Record<
    string,
    { shape: number[]; dtype: string; data_offsets: number[] }
  >
  let end = file.length - 8 - headerBytes
  const magnitudes: Buffer[] = []
  for (const [name, { shape }] of Object.entries({ ...header })) {
    if (!name.endsWith('lora_B.weight')) continue
    const ones = Buffer.from(new Uint16Array(shape[0]).fill(0x3c00).buffer)
    header[name.replace('lora_B.weight', 'lora_magnitude_vector')] = {
      dtype: 'F16',
      shape: [shape[0]],
      data_offsets: [end, end + ones.length],
    }
    magnitudes.push(ones)
    end += ones.length
  }
  const json = Buffer.from(JSON.stringify(header))
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(BigInt(json.length))
  writeFileSync(
    path.join(folder, 'adapter_model.safetensors'),
    Buffer.concat([length, json, file.subarray(8 + headerBytes), ...magnitudes]),
  )
  const config = JSON.parse(readFileSync(path.join(plain[0], 'adapter_config.json'), 'utf8'))
  writeFileSync(path.join(folder, 'adapter_config.json'), JSON.stringify({ ...config, use_dora: true }))
  return folder
}

async function loading(base: BaseModel, folders: string[], threads: number): Promise<number> {
  const store = new AdapterStore(base, { dtype: 'float16', blockBytes: BLOCK_BYTES }, { threads })
  try {
    await store.load('warm', folders[0]) // threads start with the first load
    const started = performance.now()
    await Promise.all(folders.map((folder, i) => store.load(`adapter-${i}`, folder)))
    return performance.now() - started
  } finally {
    await store.close()
  }
}

function floor(): number {
  const started = performance.now()
  for (const folder of plain) {
    const file = readFileSync(path.join(folder, 'adapter_model.safetensors'))
    createHash('sha256').update(file).digest()
    new Uint8Array(file.length).set(file)
  }
  return performance.now() - started
}

console.log(
  heading(
    `${plain.length} adapters of ${(bytes / 1e6).toFixed(1)} MB, float16 in the file and in the pool, files in the page cache`,
  ),
)
const times = { floor: [] as number[], one: [] as number[], two: [] as number[], dora: [] as number[] }
const doraFolder = dora()
for (let round = -1; round < Number(values.rounds); round++) {
  const measured = {
    floor: floor(),
    one: await loading(base, plain, 1),
    two: await loading(base, plain, 2),
    dora: await loading(base, [doraFolder], 1),
  }
  if (round >= 0) for (const key of Object.keys(times) as (keyof typeof times)[]) times[key].push(measured[key])
}
const rate = (ms: number) => `${((plain.length * bytes) / 1e3 / ms).toFixed(0)} MB/s`
const row = (what: string, ms: number) => [what, ms.toFixed(0), rate(ms), `${(ms / median(times.floor)).toFixed(2)} ×`]
console.log(
  table(
    ['what', 'median ms', 'rate', 'of the floor'],
    [
      row('read, hash, copy: the floor, one thread', median(times.floor)),
      row('loaded by one thread', median(times.one)),
      row('loaded by two threads', median(times.two)),
    ],
  ),
)
console.log(`\none of them as DoRA, its norms on every core: ${median(times.dora).toFixed(0)} ms`)
