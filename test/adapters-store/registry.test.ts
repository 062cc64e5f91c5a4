import { cpSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { AdapterError, AdapterRegistry, loadAdapter } from '../../adapters-store/index.ts'
import type { AdapterCatalogue } from '../../server/types.ts'
import { fixture, temporaryFolder } from '../support/repo.ts'
import { baseModelOf } from './base-model.ts'

const base = baseModelOf(fixture('peft/biased/base'))
const loader = {
  load: async (name: string, directory: string) =>
    loadAdapter(name, directory, base, { dtype: 'float16' as const, blockBytes: 1024 }),
}
const LORA = fixture('peft/biased/adapters/lora')
const DORA = fixture('peft/biased/adapters/dora')

t.test('adds, lists by name, and removes', async (t) => {
  const registry = new AdapterRegistry(loader)
  const catalogue: AdapterCatalogue = registry
  const before = Math.floor(Date.now() / 1000)
  await registry.add('b', LORA)
  await registry.add('a', DORA)
  t.strictSame(
    catalogue.list().map(({ name }) => name),
    ['a', 'b'],
  )
  const record = catalogue.get('b')!
  t.match(record, { name: 'b', directory: LORA, image: { name: 'b', method: 'lora' } })
  const listed = catalogue.list()
  t.equal(catalogue.list(), listed, 'the same list until something changes')
  t.ok(record.created >= before && record.created <= before + 60)
  t.equal(registry.remove('b'), true)
  t.equal(registry.remove('b'), false)
  t.strictSame(
    catalogue.list().map(({ name }) => name),
    ['a'],
  )
  t.equal(catalogue.get('b'), undefined)
})

t.test('one content under two names lies in memory once', async (t) => {
  const registry = new AdapterRegistry(loader)
  const a = await registry.add('a', LORA)
  const b = await registry.add('b', LORA)
  t.not(a, b)
  t.match([a.image, b.image], [{ name: 'a' }, { name: 'b' }])
  t.equal(a.image?.image, b.image?.image)
  const other = await registry.add('c', DORA)
  t.not(other.image?.image, a.image?.image)
})

t.test('the same adapter again is what is there; another of the name is an error', async (t) => {
  const registry = new AdapterRegistry(loader)
  const record = await registry.add('a', LORA)
  t.equal(await registry.add('a', LORA), record)
  const copy = temporaryFolder(t)
  cpSync(LORA, copy, { recursive: true })
  t.equal(await registry.add('a', copy), record, 'another folder with the same content')
  await t.rejects(registry.add('a', DORA), {
    code: 'adapter_name_taken',
    message: 'the name a is taken by another adapter',
    detail: /name a is taken by the adapter in .*lora; .*dora/,
  })
  t.equal(registry.get('a'), record)
})

t.test('two adds of one name at once', async (t) => {
  const registry = new AdapterRegistry(loader)
  const same = await Promise.all([registry.add('a', LORA), registry.add('a', LORA)])
  t.equal(same[0], same[1])
  const other = new AdapterRegistry(loader)
  const results = await Promise.allSettled([other.add('a', LORA), other.add('a', DORA)])
  t.strictSame(
    results.map(({ status }) => status),
    ['fulfilled', 'rejected'],
  )
  t.match(other.get('a'), { directory: LORA })
})

t.test('a refused add enters nothing; addOrRefuse enters the reason, and the name can be tried again', async (t) => {
  const registry = new AdapterRegistry(loader)
  const empty = temporaryFolder(t)
  await t.rejects(registry.add('a', empty), AdapterError)
  t.equal(registry.get('a'), undefined)
  t.match(await registry.addOrRefuse('a', empty), { name: 'a', refusal: /adapter_config.json/ })
  t.match(registry.get('a'), { refusal: /adapter_config.json/, image: undefined })
  await registry.add('a', LORA)
  t.match(registry.get('a'), { refusal: undefined, image: { digest: /./ } })
  t.match(await registry.addOrRefuse('a', DORA), { refusal: /taken/ })
  t.match(registry.get('a'), { directory: LORA, refusal: undefined }, 'what serves is not replaced by a refusal')
})

t.test('a scan takes every adapter folder, records the refused and goes on', async (t) => {
  const folder = temporaryFolder(t)
  cpSync(DORA, join(folder, 'zebra'), { recursive: true })
  symlinkSync(LORA, join(folder, 'linked'))
  symlinkSync(join(folder, 'nowhere'), join(folder, 'dangling'))
  mkdirSync(join(folder, 'notes'))
  writeFileSync(join(folder, 'README.md'), '')
  mkdirSync(join(folder, 'broken'))
  writeFileSync(join(folder, 'broken', 'adapter_config.json'), '{')
  const registry = new AdapterRegistry(loader)
  const records = await registry.scan(folder)
  t.strictSame(
    records.map(({ name, refusal }) => [name, refusal === undefined]),
    [
      ['broken', false],
      ['linked', true],
      ['zebra', true],
    ],
  )
  t.match(registry.get('broken')!.refusal, /not JSON|adapter_model/)
  rmSync(join(folder, 'zebra'), { recursive: true })
  t.match(await registry.scan(folder), [{ name: 'broken' }, { name: 'linked' }])
  t.ok(registry.get('zebra')!.image, 'an adapter in memory does not need its folder')
  await t.rejects(registry.scan(join(folder, 'nowhere')), { code: 'adapter_not_found', detail: /nowhere/ })
})

t.test('names that would break headers and logs are refused', async (t) => {
  const registry = new AdapterRegistry(loader)
  for (const name of ['', 'a\nb', 'x'.repeat(257)]) await t.rejects(registry.add(name, LORA), { code: 'adapter_name_invalid' })
  await registry.add('Größe/7 b', LORA)
  t.ok(registry.get('Größe/7 b'))
})

t.test('five thousand adapters: the list and a lookup cost microseconds', async (t) => {
  const image = loadAdapter('x', LORA, base, { dtype: 'float16', blockBytes: 1024 })
  const registry = new AdapterRegistry({ load: async (name) => ({ ...image, name, digest: name }) })
  const nameOf = (i: number) => `tenant-${(i * 7919) % 5000}`
  await Promise.all(Array.from({ length: 5000 }, (_, i) => registry.add(nameOf(i), `/adapters/${i}`)))
  const names = registry.list().map(({ name }) => name)
  t.strictSame(names, [...names].sort())
  t.equal(names.length, 5000)
  const microseconds = (times: number, run: (i: number) => unknown) => {
    const start = performance.now()
    for (let i = 0; i < times; i++) run(i)
    return ((performance.now() - start) * 1000) / times
  }
  const list = microseconds(10_000, () => registry.list())
  const hit = microseconds(10_000, (i) => registry.get(nameOf(i)))
  const miss = microseconds(10_000, (i) => registry.get(`nobody-${i}`))
  t.comment(`list ${list.toFixed(2)} µs, get ${hit.toFixed(2)} µs, no such name ${miss.toFixed(2)} µs`)
  for (const cost of [list, hit, miss]) t.ok(cost < 50, 'sorting 5,000 for each question takes thousands')
  const before = registry.list()
  t.equal(registry.list(), before, 'the same list while nothing changes')
  registry.remove('tenant-17')
  await registry.add('a-new-one', LORA)
  t.equal(registry.list()[0].name, 'a-new-one')
  t.equal(registry.list().length, 5000)
  t.equal(before.length, 5000, 'whoever holds a list keeps it')
})
