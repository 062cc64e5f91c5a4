import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { AdapterError, AdapterStore, loadAdapter } from '../../adapters-store/index.ts'
import { mayBegin } from '../../adapters-store/store.ts'
import type { BaseModel } from '../../adapters-store/types.ts'
import { fixture, temporaryFolder } from '../support/repo.ts'
import { baseModelOf } from './base-model.ts'
import { floats, safetensorsBytes } from './write-adapter.ts'

const base = baseModelOf(fixture('peft/biased/base'))
const options = { dtype: 'float16', blockBytes: 1024 } as const
const LORA = fixture('peft/biased/adapters/lora')

t.test('the loader thread makes the same image, in shared memory', async (t) => {
  const store = new AdapterStore(base, options)
  t.teardown(() => store.close())
  const image = await store.load('a', LORA)
  const direct = loadAdapter('a', LORA, base, options)
  t.ok(image.image instanceof SharedArrayBuffer)
  t.ok(Buffer.from(image.image).equals(Buffer.from(direct.image)))
  t.strictSame({ ...image, image: 0 }, { ...direct, image: 0 })
})

t.test('a refusal arrives as it was thrown, and the next load works', async (t) => {
  const store = new AdapterStore(base, options)
  t.teardown(() => store.close())
  const empty = temporaryFolder(t)
  const [refused, loaded] = await Promise.allSettled([store.load('bad', empty), store.load('good', LORA)])
  t.match(refused, { reason: { code: 'adapter_not_found', message: /adapter_config.json/ } })
  t.ok((refused as PromiseRejectedResult).reason instanceof AdapterError)
  t.match(loaded, { status: 'fulfilled', value: { name: 'good' } })
})

t.test('a folder that vanishes while it loads is an error of that load alone', async (t) => {
  const store = new AdapterStore(base, options)
  t.teardown(() => store.close())
  const root = temporaryFolder(t)
  const folders = Array.from({ length: 30 }, (_, i) => join(root, `${i}`))
  for (const folder of folders) cpSync(LORA, folder, { recursive: true })
  const loads = Promise.allSettled(folders.map((folder, i) => store.load(`${i}`, folder)))
  for (const folder of folders.slice(10)) rmSync(folder, { recursive: true })
  for (const result of await loads) {
    if (result.status === 'rejected') t.ok(result.reason instanceof AdapterError, result.reason.message)
    else t.ok(result.value.entries.length > 0)
  }
  t.match(await store.load('after', LORA), { name: 'after' })
})

t.test(
  'a load begins if a thread is free and the files fit together; a huge one waits to be alone, but is not refused',
  async (t) => {
    const [small, huge] = [16 << 20, 2 ** 31]
    t.equal(mayBegin(small, [], 1), true)
    t.equal(mayBegin(small, [small], 1), false)
    t.equal(mayBegin(small, [small, small, small], 4), true)
    t.equal(mayBegin(huge, [], 4), true)
    t.equal(mayBegin(huge, [small], 4), false)
    t.equal(mayBegin(small, [huge], 4), false)
  },
)

t.test('many loads at once give what one gives', async (t) => {
  const store = new AdapterStore(base, options, { threads: 2 })
  t.teardown(() => store.close())
  const names = Array.from({ length: 12 }, (_, i) => `${i}`)
  const direct = loadAdapter('x', LORA, base, options)
  const images = await Promise.all(names.map((name) => store.load(name, LORA)))
  t.strictSame(
    images.map(({ name }) => name),
    names,
  )
  for (const image of images) t.ok(Buffer.from(image.image).equals(Buffer.from(direct.image)))
})

t.test('adapters of all sizes and methods, one after the other in one thread, come out as if alone', async (t) => {
  const store = new AdapterStore(base, options, { threads: 1 })
  t.teardown(() => store.close())
  const names = readdirSync(fixture('peft/biased/adapters'))
  const images = await Promise.all(names.map((name) => store.load(name, fixture('peft/biased/adapters', name))))
  for (const image of images) {
    const direct = loadAdapter(image.name, fixture('peft/biased/adapters', image.name), base, options)
    t.ok(Buffer.from(image.image).equals(Buffer.from(direct.image)), image.name)
    t.strictSame({ ...image, image: 0 }, { ...direct, image: 0 })
  }
})

t.test('a DoRA adapter with many norms is the same alone and beside others', async (t) => {
  const folder = temporaryFolder(t)
  const { model, adapter } = manyNorms(folder)
  const alone = loadAdapter('dora', adapter, model, options)
  const store = new AdapterStore(model, options, { threads: 3 })
  t.teardown(() => store.close())
  const loads = ['first', 'second', 'third', 'fourth'].map((name) => store.load(name, adapter))
  for (const { image } of await Promise.all(loads)) t.ok(Buffer.from(image).equals(Buffer.from(alone.image)))
})

t.test('idle threads do not keep the process alive', async (t) => {
  const folder = temporaryFolder(t)
  const { model, adapter } = manyNorms(folder)
  const script = join(folder, 'load.mjs')
  const source = `
    const { AdapterStore } = await import(${JSON.stringify(new URL('../../adapters-store/index.js', import.meta.url).href)})
    const store = new AdapterStore(${JSON.stringify(model)}, ${JSON.stringify(options)}, { threads: 2 })
    console.log((await store.load('dora', ${JSON.stringify(adapter)})).method)`
  writeFileSync(script, source)
  const run = promisify(execFile)(process.execPath, [script], { timeout: 20_000 })
  t.match(await run, { stdout: 'dora\n' })
})

t.test('a thread that dies fails the load that it has in hand, and the next ones get another', async (t) => {
  const folder = temporaryFolder(t)
  cpSync(LORA, folder, { recursive: true })
  // Some 2 MB that become many times as much of objects.
  writeFileSync(join(folder, 'adapter_config.json'), `{"peft_type": "LORA", "shiny": [${'[{}],'.repeat(400_000)}0]}`)
  const store = new AdapterStore(base, options, { threads: 1, heapMegabytes: 24 })
  t.teardown(() => store.close())
  const results = await Promise.allSettled(
    ['bad', 'good', 'bad', 'good'].map((name) => store.load(name, name === 'bad' ? folder : LORA)),
  )
  const lost = { status: 'rejected', reason: { code: 'adapter_loader_lost', message: /the loader thread was lost: .*memory/ } }
  t.match(results, [lost, { status: 'fulfilled' }, lost, { status: 'fulfilled' }])
})

t.test(
  'an idle thread ends with what it read files to, and a later load starts another',
  { skip: process.platform !== 'linux' && 'no /proc' },
  async (t) => {
    const threads = () => readdirSync('/proc/self/task').length
    const store = new AdapterStore(base, options, { threads: 1 })
    t.teardown(() => store.close())
    for (let round = 0; round < 2; round++) {
      await store.load('a', LORA)
      const during = threads()
      for (let tenths = 0; tenths < 100 && threads() >= during; tenths++) await new Promise((resolve) => setTimeout(resolve, 100))
      t.ok(threads() < during, `${threads()} threads, ${during} before`)
    }
  },
)

t.test('closing rejects what is under way, what waits and all that follows', async (t) => {
  const store = new AdapterStore(base, options, { threads: 2 })
  const loads = Promise.allSettled(['1', '2', '3', '4'].map((name) => store.load(name, LORA)))
  await store.close()
  t.match(await loads, new Array(4).fill({ status: 'rejected', reason: { code: 'adapter_store_closed' } }))
  await t.rejects(store.load('b', LORA), { code: 'adapter_store_closed', message: /b cannot be loaded/ })
  await store.close()
})

/** Sixteen projections. */
function manyNorms(folder: string): { model: BaseModel; adapter: string } {
  const modules = Array.from({ length: 16 }, (_, i) => `model.layers.${i}.self_attn.q_proj`)
  const weights = Object.fromEntries(modules.map((module) => [`${module}.weight`, floats([96, 64])]))
  const table = { 'model.embed_tokens.weight': floats([8, 64]) }
  writeFileSync(join(folder, 'model.safetensors'), safetensorsBytes({ ...weights, ...table }))
  writeFileSync(
    join(folder, 'config.json'),
    JSON.stringify({ model_type: 'llama', num_hidden_layers: 16, vocab_size: 8, hidden_size: 64 }),
  )
  const adapter = join(folder, 'dora')
  mkdirSync(adapter)
  writeFileSync(join(adapter, 'adapter_config.json'), JSON.stringify({ peft_type: 'LORA', r: 4, lora_alpha: 8, use_dora: true }))
  const tensors = modules.flatMap((module) => [
    [`base_model.model.${module}.lora_A.weight`, floats([4, 64])],
    [`base_model.model.${module}.lora_B.weight`, floats([96, 4])],
    [`base_model.model.${module}.lora_magnitude_vector`, floats([96], (i) => 1 + i / 96)],
  ])
  writeFileSync(join(adapter, 'adapter_model.safetensors'), safetensorsBytes(Object.fromEntries(tensors)))
  return { model: baseModelOf(folder), adapter }
}
