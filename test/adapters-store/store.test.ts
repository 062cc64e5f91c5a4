import { cpSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { AdapterError, AdapterStore, loadAdapter } from '../../adapters-store/index.ts'
import { fixture, temporaryFolder } from '../support/repo.ts'
import { baseModelOf } from './base-model.ts'

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

t.test('closing rejects what is under way and all that follows', async (t) => {
  const store = new AdapterStore(base, options)
  const loading = store.load('a', LORA)
  const outcome = t.rejects(loading, { code: 'adapter_store_closed' })
  await store.close()
  await outcome
  await t.rejects(store.load('b', LORA), { code: 'adapter_store_closed', message: /b cannot be loaded/ })
  await store.close()
})
