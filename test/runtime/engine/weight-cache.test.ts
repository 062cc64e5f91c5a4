/** Packed weights that are kept from start to start. */
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { startEngine } from '../../../runtime/index.ts'
import type { EngineSettings, SequenceOutput } from '../../../runtime/types.ts'
import { greedy } from '../../support/greedy.ts'
import { fixture, temporaryFolder } from '../../support/repo.ts'

type Settings = Partial<EngineSettings>

/** Logits after a prompt on an engine that is started for it. `meanwhile`: before it ends. */
async function logits(modelDir: string, directory: string, settings: Settings, meanwhile = () => {}): Promise<Float32Array> {
  const engine = await startEngine({
    modelDir,
    device: 'cpu',
    dtype: 'auto',
    adapterDtype: 'float16',
    poolBytes: 2 ** 20,
    maxBatchTokens: 64,
    maxSequences: 4,
    threads: 2,
    prefixCache: false,
    weightCache: { directory, maxBytes: 2 ** 30 },
    ...settings,
  })
  try {
    return await new Promise((resolve, reject) => {
      const request = { id: 'a', promptIds: [3, 1, 4, 1, 5], adapters: [], arrival: Date.now() }
      engine.submit({ ...request, sampling: { ...greedy(1), returnLogits: true } }, (output: SequenceOutput) => {
        if (output.error) reject(new Error(output.error.message))
        else if (output.logits) resolve(output.logits[0])
      })
    })
  } finally {
    meanwhile()
    await engine.close()
  }
}

function folders(t: Parameters<typeof temporaryFolder>[0]) {
  const model = temporaryFolder(t)
  cpSync(fixture('oracle/llama-tied/base'), model, { recursive: true })
  return { model, cache: temporaryFolder(t) }
}
const filesOf = (cache: string) => readdirSync(cache).map((name) => path.join(cache, name))

t.test('the second start maps what the first packed, and computes the same', async (t) => {
  const { model, cache } = folders(t)
  for (const [i, settings] of (
    [{ quantization: 'int8' }, { quantization: 'int4' }, { dtype: 'bfloat16' }] as Settings[]
  ).entries()) {
    const first = await logits(model, cache, settings)
    const files = filesOf(cache)
    t.equal(files.length, i + 1, 'a file of its own for each form')
    const before = files.map((file) => statSync(file, { bigint: true }).ino)
    const mapped = () =>
      t.ok(
        files.some((file) => readFileSync('/proc/self/maps', 'utf8').includes(file)),
        'it is mapped',
      )
    t.same(await logits(model, cache, settings, mapped), first)
    t.same(
      filesOf(cache).map((file) => statSync(file, { bigint: true }).ino),
      before,
      'nothing was written',
    )
  }
  t.notOk(
    filesOf(cache).some((file) => !file.endsWith('.weights')),
    'and nothing left half',
  )
  await logits(model, cache, {})
  t.equal(filesOf(cache).length, 3, 'float32 packs nothing')
})

t.test('a checkpoint that changed is packed anew', async (t) => {
  const { model, cache } = folders(t)
  const settings = { quantization: 'int8' } as const
  const first = await logits(model, cache, settings)
  // Its size and its time of change are as before; ctime, which cannot be set back, tells.
  const weights = path.join(model, 'model.safetensors')
  const { atime, mtime, size } = statSync(weights)
  const bytes = readFileSync(weights)
  writeFileSync(weights, bytes.fill(0, bytes.length - 4096))
  utimesSync(weights, atime, mtime)
  t.equal(statSync(weights).size, size)
  t.notSame(await logits(model, cache, settings), first)
  t.equal(filesOf(cache).length, 2)
})

t.test('a damaged file is as none, and is replaced', async (t) => {
  const { model, cache } = folders(t)
  const settings = { quantization: 'int4' } as const
  const first = await logits(model, cache, settings)
  const [file] = filesOf(cache)
  const whole = readFileSync(file)
  for (const damage of [
    () => truncateSync(file, whole.length - 64),
    () => truncateSync(file, 0),
    () => {
      const changed = Buffer.from(whole)
      changed[whole.length - 100] ^= 1
      writeFileSync(file, changed)
    },
    () => writeFileSync(file, Buffer.concat([Buffer.alloc(24), whole.subarray(24)])),
  ]) {
    damage()
    t.same(await logits(model, cache, settings), first)
    t.same(readFileSync(file), whole, 'whole again')
  }
})

t.test('it stays below its size, and a folder that goes keeps nothing', async (t) => {
  const { model, cache } = folders(t)
  await logits(model, cache, { quantization: 'int8' })
  const [old] = filesOf(cache)
  utimesSync(old, 1, 1)
  const maxBytes = statSync(old).size + 10
  await logits(model, cache, { quantization: 'int4', weightCache: { directory: cache, maxBytes } })
  t.notOk(existsSync(old), 'what was not used for longest went')
  t.equal(filesOf(cache).length, 1)
  await logits(model, cache, { quantization: 'int8', weightCache: { directory: cache, maxBytes: 100 } })
  t.equal(filesOf(cache).length, 0, 'one that is too large by itself is not kept')
  rmSync(cache, { recursive: true })
  t.ok((await logits(model, cache, { quantization: 'int8' })).length > 0)
})
