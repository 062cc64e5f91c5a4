import { cpSync, mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { AdapterError, loadAdapter } from '../../adapters-store/index.ts'
import type { AdapterCatalogue } from '../../server/types.ts'
import { readFor, testRegistry } from '../support/registry.ts'
import { fixture, temporaryFolder } from '../support/repo.ts'
import { baseModelOf } from './base-model.ts'

const base = baseModelOf(fixture('peft/biased/base'))
const read = readFor(base)
const LORA = fixture('peft/biased/adapters/lora')
const DORA = fixture('peft/biased/adapters/dora')
const bytesOf = (directory: string) => loadAdapter('x', directory, base, { dtype: 'float16', blockBytes: 1024 }).image.byteLength

t.test('known by name without being read; a lease reads it', async (t) => {
  const { registry, here, loads, memory } = testRegistry(read)
  const catalogue: AdapterCatalogue = registry
  const before = Math.floor(Date.now() / 1000)
  registry.enter('b', LORA)
  const a = registry.enter('a', DORA)
  t.strictSame(
    catalogue.list().map(({ name }) => name),
    ['a', 'b'],
  )
  const listed = catalogue.list()
  t.equal(catalogue.list(), listed, 'the same list until something changes')
  t.match(a, { name: 'a', directory: DORA, state: 'known', digest: undefined, refusal: undefined })
  t.ok(a.created >= before && a.created <= before + 60)
  t.strictSame(loads, [])
  const lease = await registry.lease([a])
  t.match(a, { state: 'loaded', digest: /^[0-9a-f]{64}$/, method: 'dora', leases: 1, uses: 1 })
  t.strictSame(lease.digests, [a.digest])
  t.strictSame([...here], [[a.digest, ['a']]])
  t.strictSame(memory.bytes, { used: a.image?.image.byteLength, reserved: 0 })
  lease.release()
  lease.release()
  t.match(a, { state: 'loaded', leases: 0 }, 'it stays while there is room')
  t.equal(registry.remove('a'), true)
  t.equal(registry.remove('a'), false)
  t.equal(here.size, 0)
  t.strictSame(memory.bytes, { used: 0, reserved: 0 })
  t.equal(catalogue.get('a'), undefined)
})

t.test('all who want it share one load', async (t) => {
  const { registry, loads } = testRegistry(async (name, directory) => {
    await setTimeout(20)
    return read(name, directory)
  })
  const a = registry.enter('a', LORA)
  const leases = await Promise.all(Array.from({ length: 5 }, () => registry.lease([a])))
  t.strictSame(loads, ['a'])
  t.equal(a.leases, 5)
  for (const { release } of leases) release()
  t.equal(a.leases, 0)
})

t.test('one content under two names lies in memory once', async (t) => {
  const { read: load, memory, here, registry } = testRegistry(read)
  const [a, b] = [await load('a', LORA), await load('b', LORA)]
  t.equal(a.image?.image, b.image?.image)
  t.equal(memory.bytes.used, a.image?.image.byteLength)
  t.strictSame([...here.values()], [['a', 'b']])
  registry.remove('a')
  t.strictSame([...here.values()], [['b']], 'only the name goes')
  t.equal(memory.bytes.used, b.image?.image.byteLength)
  registry.remove('b')
  t.equal(here.size + memory.bytes.used, 0)
})

t.test('the same folder again is what is there; another under the name is an error', async (t) => {
  const { registry } = testRegistry(read)
  const record = registry.enter('a', LORA)
  t.equal(registry.enter('a', LORA), record)
  t.throws(() => registry.enter('a', DORA), {
    code: 'adapter_name_taken',
    message: 'the name a is taken by another adapter',
    detail: /taken by the adapter in .*lora; .*dora/,
  })
  t.equal(registry.get('a'), record)
})

t.test('a refused adapter is refused until its files change', async (t) => {
  const { registry, loads } = testRegistry(read)
  const folder = temporaryFolder(t)
  cpSync(LORA, folder, { recursive: true })
  truncateSync(join(folder, 'adapter_model.safetensors'), 1000)
  const refusals: string[] = []
  registry.onRefusal = ({ name }) => refusals.push(name)
  const a = registry.enter('a', folder)
  await t.rejects(registry.lease([a]), AdapterError)
  await t.rejects(registry.lease([a]), AdapterError)
  t.match(a, { state: 'refused', refusal: /adapter_model/, leases: 0 })
  t.strictSame([loads, refusals], [['a'], ['a']], 'read once')
  cpSync(join(LORA, 'adapter_model.safetensors'), join(folder, 'adapter_model.safetensors'))
  const lease = await registry.lease([a])
  t.match(a, { state: 'loaded', refusal: undefined }, 'as when a copy was under way')
  lease.release()
})

t.test('a scan makes every adapter folder known', async (t) => {
  const folder = temporaryFolder(t)
  cpSync(DORA, join(folder, 'zebra'), { recursive: true })
  symlinkSync('zebra', join(folder, 'linked'))
  symlinkSync(join(folder, 'nowhere'), join(folder, 'dangling'))
  mkdirSync(join(folder, 'notes'))
  writeFileSync(join(folder, 'README.md'), '')
  mkdirSync(join(folder, 'broken'))
  writeFileSync(join(folder, 'broken', 'adapter_config.json'), '{')
  const { registry, readAll } = testRegistry(read)
  t.strictSame(
    (await readAll(folder)).map(({ name, refusal }) => [name, refusal === undefined]),
    [
      ['broken', false],
      ['linked', true],
      ['zebra', true],
    ],
  )
  t.match(registry.get('broken')!.refusal, /not JSON|adapter_model/)
  rmSync(join(folder, 'zebra'), { recursive: true })
  t.match(registry.scan(folder), [{ name: 'broken' }])
  t.ok(registry.get('zebra')!.image, 'an adapter in memory does not need its folder')
  t.throws(() => registry.scan(join(folder, 'nowhere')), { code: 'adapter_not_found', detail: /nowhere/ })
})

t.test('names that would break headers and logs are refused', async (t) => {
  const { registry } = testRegistry(read)
  for (const name of ['', 'a\nb', 'x'.repeat(257), 'a,b', ' a', 'a '])
    t.throws(() => registry.enter(name, LORA), { code: 'adapter_name_invalid' })
  registry.enter('Größe/7 b', LORA)
  t.ok(registry.get('Größe/7 b'))
})

t.test('host memory: what nobody uses makes room, the least valuable first', async (t) => {
  const image = loadAdapter('x', LORA, base, { dtype: 'float16', blockBytes: 1024 })
  const size = image.image.byteLength
  // Files and images of one size, contents of their own.
  const folders = temporaryFolder(t)
  const folder = (name: string) => {
    const directory = join(folders, name)
    mkdirSync(directory)
    writeFileSync(join(directory, 'adapter_model.safetensors'), Buffer.alloc(size))
    return directory
  }
  const { registry, memory, here, loads } = testRegistry((name) => ({ ...image, name, digest: name }), 3 * size)
  const [a, b, c, d] = ['a', 'b', 'c', 'd'].map((name) => registry.enter(name, folder(name)))
  const use = async (...adapters: (typeof a)[]) => (await registry.lease(adapters)).release()
  for (let i = 0; i < 5; i++) await use(a)
  await use(b)
  const held = await registry.lease([c])
  await use(d)
  t.strictSame([...here.keys()].sort(), ['a', 'c', 'd'], 'b was used least; c is in use')
  t.equal(memory.bytes.used, 3 * size)
  await use(b)
  t.strictSame([...here.keys()].sort(), ['a', 'b', 'c'])
  a.pinned = true
  for (let i = 0; i < 20; i++) await use(b)
  await use(d)
  t.strictSame([...here.keys()].sort(), ['a', 'c', 'd'], 'a is pinned')
  let waited = true
  const both = registry.lease([b, d]).then((lease) => {
    waited = false
    return lease
  })
  await setTimeout(20)
  t.ok(waited, 'two of three places are taken')
  t.strictSame(loads.slice(-1), ['d'], 'who waits holds nothing')
  await use(d)
  held.release()
  const lease = await both
  t.strictSame([...here.keys()].sort(), ['a', 'b', 'd'])
  const gone = new AbortController()
  const never = registry.lease([c], gone.signal)
  gone.abort(new Error('left'))
  await t.rejects(never, { message: 'left' })
  lease.release()
  b.pinned = true
  d.pinned = true
  await use(b)
  await t.rejects(registry.lease([c]), { code: 'adapter_too_large', message: /pinned adapters leave too little/ })
  t.strictSame([...here.keys()].sort(), ['a', 'b', 'd'], 'nothing made room for what could never come')
  const small = testRegistry((name) => ({ ...image, name, digest: name }), size - 1)
  await t.rejects(small.registry.lease([small.registry.enter('a', join(folders, 'a'))]), {
    code: 'adapter_too_large',
    message: /--host-memory/,
  })
  memory.dropIdle(60_000)
  t.equal(memory.count, 3)
  for (const adapter of [a, b, d]) adapter.pinned = false
  memory.dropIdle(-1000)
  t.strictSame([memory.count, memory.bytes], [0, { used: 0, reserved: 0 }])
})

t.test('host memory can be bounded by a number of adapters', async (t) => {
  const image = loadAdapter('x', LORA, base, { dtype: 'float16', blockBytes: 1024 })
  const { registry, memory, here } = testRegistry((name) => ({ ...image, name, digest: name }), 1 << 30, 2)
  const folders = temporaryFolder(t)
  const [a, b, c] = ['a', 'b', 'c'].map((name) => registry.enter(name, join(folders, name)))
  const use = async (...adapters: (typeof a)[]) => (await registry.lease(adapters)).release()
  await use(a, b)
  await use(a)
  await use(c)
  t.strictSame([...here.keys()].sort(), ['a', 'c'])
  t.equal(memory.evictions, 1)
  await t.rejects(use(a, b, c), { code: 'adapter_too_large', message: /3 adapters are wanted together, .* holds 2/ })
  const held = await registry.lease([a, c])
  const waits = registry.lease([b])
  await setTimeout(20)
  t.strictSame([...here.keys()].sort(), ['a', 'c'], 'b waits for a place')
  held.release()
  ;(await waits).release()
  t.equal(memory.count, 2)
  for (const adapter of [a, b, c]) adapter.pinned = adapter.image !== undefined
  const out = [a, b, c].find((adapter) => !adapter.pinned) as typeof a
  await t.rejects(use(out), { code: 'adapter_too_large', message: /2 adapters are pinned, of 2/ })
})

t.test('a storm of leases: all are served, the limit holds, nothing is left', async (t) => {
  const image = loadAdapter('x', LORA, base, { dtype: 'float16', blockBytes: 1024 })
  const size = image.image.byteLength
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'adapter_model.safetensors'), Buffer.alloc(size))
  let random = 1
  const below = (n: number) => {
    random = (Math.imul(random, 1103515245) + 12345) >>> 0
    return (random >>> 8) % n
  }
  const { registry, memory } = testRegistry(async (name) => {
    await setTimeout(below(3))
    if (below(20) === 0) throw new Error('now and then')
    return { ...image, name, digest: name }
  }, 4 * size)
  const adapters = Array.from({ length: 12 }, (_, i) =>
    registry.enter(`${i}`, join(folder, `../${folder.split('/').at(-1)}`, `./${'./'.repeat(i)}`)),
  )
  let most = 0
  const outcomes = await Promise.all(
    Array.from({ length: 400 }, async (_, i) => {
      await setTimeout(below(200))
      const wanted = [...new Set([adapters[below(12)], adapters[below(12)], ...(i % 3 === 0 ? [adapters[below(12)]] : [])])]
      const gone = new AbortController()
      if (i % 7 === 0) globalThis.setTimeout(() => gone.abort(new Error('left')), below(20))
      try {
        const { release } = await registry.lease(wanted, gone.signal)
        for (const adapter of wanted) if (!adapter.image) t.fail('a lease without its image')
        most = Math.max(most, memory.bytes.used + memory.bytes.reserved)
        await setTimeout(below(4))
        release()
        return 'served'
      } catch (error) {
        return (error as Error).message
      }
    }),
  )
  const seen = new Set(outcomes)
  t.ok(outcomes.filter((outcome) => outcome === 'served').length > 200, `${[...seen].join(', ')}`)
  t.ok(most <= 4 * size, `${most / size} of 4`)
  t.ok(adapters.every(({ leases, reserved }) => leases === 0 && reserved === 0))
  t.equal(memory.bytes.reserved, 0)
  memory.dropIdle(-1000)
  t.strictSame(memory.bytes, { used: 0, reserved: 0 })
})

t.test('replacing is atomic: who runs keeps the version, who comes gets the new one', async (t) => {
  const { registry, here, memory } = testRegistry(read)
  const old = registry.enter('a', LORA)
  old.pinned = true
  const running = await registry.lease([old])
  const next = await registry.replace('a', DORA)
  t.equal(registry.get('a'), next)
  t.match([old, next], [{ state: 'draining' }, { state: 'loaded', leases: 0 }])
  t.strictSame(registry.draining('a'), [old])
  t.strictSame([old.pinned, next.pinned], [false, true], 'the name is pinned, not what drains')
  t.ok(here.has(old.digest as string), 'the old one is held')
  running.release()
  t.strictSame([...here], [[next.digest, ['a']]])
  t.strictSame(registry.draining('a'), [])
  t.equal(memory.bytes.used, next.image?.image.byteLength)

  await t.rejects(registry.replace('a', LORA, { expectedDigest: 'f'.repeat(64) }), {
    code: 'adapter_version_mismatch',
    message: /is at [0-9a-f]{64}, not/,
  })
  t.equal(registry.get('a'), next)
  const empty = temporaryFolder(t)
  await t.rejects(registry.replace('a', empty), AdapterError)
  t.equal(registry.get('a'), next, 'a name never stands for what cannot be served')
  t.equal((await registry.replace('a', LORA, { expectedDigest: next.digest })).digest, old.digest)
  const same = await registry.replace('a', LORA)
  t.strictSame([...here], [[same.digest, ['a']]], 'the same content anew')
  const both = await Promise.allSettled([
    registry.replace('a', DORA, { expectedDigest: same.digest }),
    registry.replace('a', DORA, { expectedDigest: same.digest }),
  ])
  t.strictSame(
    both.map(({ status }) => status),
    ['fulfilled', 'rejected'],
    'of two that expect the same only one finds it',
  )
  t.equal(memory.bytes.used, bytesOf(DORA))
})

t.test('five thousand adapters: the list and a lookup cost microseconds', async (t) => {
  const { registry } = testRegistry(read)
  const nameOf = (i: number) => `tenant-${(i * 7919) % 5000}`
  for (let i = 0; i < 5000; i++) registry.enter(nameOf(i), `/adapters/${i}`)
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
  registry.remove('tenant-17')
  registry.enter('a-new-one', LORA)
  t.equal(registry.list()[0].name, 'a-new-one')
  t.equal(registry.list().length, 5000)
  t.equal(before.length, 5000, 'whoever holds a list keeps it')
})
