/** Packed images on disk. */
import { cpSync, readdirSync, readFileSync, statSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ImageCache } from '../../adapters-store/image-cache.ts'
import { AdapterStore, loadAdapter } from '../../adapters-store/index.ts'
import type { AdapterLimits } from '../../adapters-store/limits.ts'
import type { LoadOptions } from '../../adapters-store/types.ts'
import { readBaseModel } from '../../runtime/model/index.ts'
import { fixture, temporaryFolder } from '../support/repo.ts'
import { baseModelOf } from './base-model.ts'

const base = baseModelOf(fixture('peft/biased/base'))
const layout: LoadOptions = { dtype: 'float16', blockBytes: 1024 }
const DORA = fixture('peft/biased/adapters/dora')
const read = (directory: string, options = layout) => loadAdapter('a', directory, base, options)

/** A copy of an adapter, and a cache that has its image. */
function filled(t: Parameters<typeof temporaryFolder>[0], maxBytes = 1 << 30) {
  const directory = temporaryFolder(t)
  const adapter = temporaryFolder(t)
  cpSync(DORA, adapter, { recursive: true })
  const cache = new ImageCache({ directory, maxBytes }, base, layout)
  const image = read(adapter)
  cache.keep(adapter, cache.identify(adapter), image)
  return { directory, adapter, cache, image }
}

t.test('what comes back is what was kept', async (t) => {
  const { directory, adapter, cache, image } = filled(t)
  t.same(readdirSync(directory).length, 1)
  const found = cache.find('b', adapter)
  t.strictSame({ ...found, image: undefined }, { ...image, name: 'b', image: undefined })
  t.same(new Uint8Array(found!.image), new Uint8Array(image.image))
  t.ok(found!.image instanceof SharedArrayBuffer)
  t.match(
    new ImageCache({ directory, maxBytes: 1 << 30 }, base, layout).find('b', adapter),
    { digest: image.digest },
    'another server',
  )
})

t.test(
  'an adapter that adds tokens keeps its vocabulary, and has another image where other numbers of them may be added',
  async (t) => {
    const directory = temporaryFolder(t)
    const adapter = temporaryFolder(t)
    cpSync(fixture('oracle/added-heads16/adapters/untrained'), adapter, { recursive: true })
    const options = { dtype: 'float16' as const, blockBytes: 1 << 16 }
    const cacheOf = (extraTokens: number) => {
      const model = readBaseModel(fixture('oracle/added-heads16/base'), extraTokens)
      return { model, cache: new ImageCache({ directory, maxBytes: 1 << 30 }, model, options) }
    }
    const { model, cache } = cacheOf(256)
    cache.keep(adapter, cache.identify(adapter), loadAdapter('a', adapter, model, options))
    t.equal(cache.find('a', adapter)?.vocabSize, 323)
    t.ok(cacheOf(256).cache.find('a', adapter))
    t.notOk(cacheOf(512).cache.find('a', adapter))
  },
)

t.test('another file, base or layout has another image', async (t) => {
  const { directory, adapter, cache } = filled(t)
  const other = (of: Partial<typeof base>, options: Partial<typeof layout>) =>
    new ImageCache({ directory, maxBytes: 1 << 30 }, { ...base, ...of }, { ...layout, ...options }).find('a', adapter)
  t.ok(other({}, {}))
  t.notOk(other({}, { blockBytes: 2048 }))
  t.notOk(other({}, { frameBytes: 512 }))
  t.notOk(other({}, { dtype: 'int8' }), 'whose layout is its own')
  t.notOk(other({ directory: '/elsewhere' }, {}))
  t.notOk(other({ sites: base.sites.slice(1) }, {}))
  // The same content anew: it may be another for all that is known before it is read.
  const weights = join(adapter, 'adapter_model.safetensors')
  writeFileSync(weights, readFileSync(weights))
  t.notOk(cache.find('a', adapter))
  const before = cache.identify(adapter)
  const image = read(adapter)
  writeFileSync(weights, readFileSync(weights))
  cache.keep(adapter, before, image)
  t.notOk(cache.find('a', adapter), 'what changed while it was read is not kept')
  t.equal(cache.identify(join(adapter, 'no')), undefined)
})

t.test('a damaged file is as none', async (t) => {
  const { directory, adapter, cache } = filled(t)
  const [name] = readdirSync(directory)
  const file = join(directory, name)
  const whole = readFileSync(file)
  for (const at of [0, 32, 33, 40, 200, whole.length - 1]) {
    const bytes = Buffer.from(whole)
    bytes[at] ^= 0x10
    writeFileSync(file, bytes)
    t.equal(cache.find('a', adapter), undefined, `byte ${at}`)
  }
  for (const length of [0, 10, 36, 100, whole.length - 1]) {
    writeFileSync(file, whole)
    truncateSync(file, length)
    t.equal(cache.find('a', adapter), undefined, `${length} bytes`)
  }
  writeFileSync(file, whole)
  t.ok(cache.find('a', adapter))
})

t.test('what was not used for longest goes', async (t) => {
  const { directory, adapter, cache, image } = filled(t)
  const [first] = readdirSync(directory)
  const { size } = statSync(join(directory, first))
  utimesSync(join(directory, first), 1000, 1000)
  writeFileSync(join(directory, 'left.part'), 'half')
  utimesSync(join(directory, 'left.part'), 1000, 1000)
  const small = new ImageCache({ directory, maxBytes: size + 10 }, base, { ...layout, blockBytes: 2048 })
  small.keep(adapter, small.identify(adapter), read(adapter, { ...layout, blockBytes: 2048 }))
  const left = readdirSync(directory)
  t.equal(left.length, 1)
  t.not(left[0], first)
  t.notOk(cache.find('a', adapter))
  const tiny = new ImageCache({ directory, maxBytes: 10 }, base, layout)
  tiny.keep(adapter, tiny.identify(adapter), image)
  t.notOk(tiny.find('a', adapter), 'one that is larger than all may be is not kept')
})

t.test('the store reads from it', async (t) => {
  const { directory, adapter } = filled(t)
  const load = async (cache: string, limits?: AdapterLimits) => {
    const store = new AdapterStore(base, { ...layout, limits }, { threads: 1, cache: { directory: cache, maxBytes: 1 << 30 } })
    try {
      return await store.load('a', adapter)
    } finally {
      await store.close()
    }
  }
  // What the cache says, marked.
  const [name] = readdirSync(directory)
  t.match(await load(directory), { method: 'dora' })
  t.same(readdirSync(directory), [name], 'found, not made anew')
  await t.rejects(
    load(directory, { bytes: 100 }),
    { code: 'adapter_too_large', message: /--max-adapter-bytes/ },
    'it was kept when more was allowed',
  )
  await t.rejects(load(directory, { rank: 1 }), { code: 'adapter_too_large', message: /--max-lora-rank/ })
  const fresh = temporaryFolder(t)
  const image = await load(fresh)
  t.equal(readdirSync(fresh).length, 1)
  t.same(new Uint8Array((await load(fresh)).image), new Uint8Array(image.image))
})
