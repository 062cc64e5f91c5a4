/** Rank rows by singular value, against numpy's decomposition (test/fixtures/ranks/make_svd.py) and what the adapters are without it. */
import { readdirSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { ImageCache } from '../../adapters-store/image-cache.ts'
import { loadAdapter } from '../../adapters-store/index.ts'
import { gram, product, root, singular } from '../../adapters-store/singular.ts'
import { type AdapterDtype, type AdapterImage, type BaseModel, ENTRY, type Site } from '../../adapters-store/types.ts'
import { readBaseModel } from '../../runtime/model/index.ts'
import { fixture, readJson, temporaryFolder } from '../support/repo.ts'
import { entryOf, imageRow } from './apply-image.ts'
import { baseModelOf } from './base-model.ts'
import { differences } from './expected.ts'
import { changedFixture, floats, writeAdapter } from './write-adapter.ts'

const family = fixture('oracle/llama-heads16')
const base = readBaseModel(path.join(family, 'base'), 0)
const folderOf = (name: string) =>
  ['two-blocks', 'pattern'].includes(name) ? fixture('ranks/adapters', name) : path.join(family, 'adapters', name)
const load = (directory: string, rankOrder: 'own' | 'svd', of: BaseModel = base, dtype: AdapterDtype = 'float32') =>
  loadAdapter('a', directory, of, { dtype, blockBytes: 1 << 16, rankOrder })

/** The first `rank` of a site's rank rows. */
function rowsOf(image: AdapterImage, site: Site, field: 'a' | 'b'): Float32Array[] {
  const entry = entryOf(image, site)
  if (!entry || entry[ENTRY.b] < 0) return []
  const length = field === 'a' ? site.inFeatures : site.outFeatures
  return Array.from({ length: entry[ENTRY.rank] }, (_, j) => imageRow(image, entry[ENTRY[field]] + j, length))
}

/** Σ_j b_j a_jᵀ of the first `rank` rows. Shape: [out · in]. */
function deltaOf(image: AdapterImage, site: Site, rank = Number.POSITIVE_INFINITY): Float64Array {
  const [a, b] = [rowsOf(image, site, 'a'), rowsOf(image, site, 'b')]
  const delta = new Float64Array(site.inFeatures * site.outFeatures)
  for (let j = 0; j < Math.min(rank, a.length); j++)
    for (let o = 0; o < site.outFeatures; o++)
      for (let i = 0; i < site.inFeatures; i++) delta[o * site.inFeatures + i] += b[j][o] * a[j][i]
  return delta
}

const normOf = (values: Iterable<number>) => Math.sqrt([...values].reduce((sum, value) => sum + value * value, 0))
const distance = (one: Float64Array, other: Float64Array) => normOf(one.map((value, i) => value - other[i]))

const { values: byNumpy } = readJson<{ values: Record<string, Record<string, number[]>> }>(fixture('ranks/svd.json'))

for (const [name, modules] of Object.entries(byNumpy))
  t.test(`${name}: the first rows are the best approximation of their rank`, async (t) => {
    const [own, svd] = [load(folderOf(name), 'own'), load(folderOf(name), 'svd')]
    let better = 0
    for (const [module, values] of Object.entries(modules)) {
      const site = base.sites.find((one) => one.module === module) as Site
      const whole = deltaOf(own, site)
      const scale = normOf(whole) / normOf(values)
      const [largest] = values
      const rank = rowsOf(svd, site, 'a').length
      t.equal(rank, values.length, module)
      for (let k = 0; k <= rank; k++) {
        const error = distance(whole, deltaOf(svd, site, k)) / scale
        const best = normOf(values.slice(k))
        t.ok(Math.abs(error - best) < 2e-6 * largest, `${module}, rank ${k}: off by ${error}, and ${best} is the least`)
        if (k > 0 && distance(whole, deltaOf(own, site, k)) / scale > best + 0.01 * largest) better++
      }
    }
    t.ok(better > 0, `its own order is worse ${better} times`)
  })

t.test('with all their ranks, adapters of every method compute what PEFT computes', async (t) => {
  const of = baseModelOf(fixture('peft/biased/base'))
  let ordered = 0
  for (const [dtype, tolerance] of [
    ['float32', 1e-5],
    ['float16', 2e-3],
  ] as const)
    for (const name of readdirSync(fixture('peft/biased/adapters'))) {
      const directory = fixture('peft/biased/adapters', name)
      const [own, svd] = [load(directory, 'own', of, dtype), load(directory, 'svd', of, dtype)]
      for (const { module, relative } of differences(of, svd, directory))
        t.ok(relative <= tolerance, `${name} in ${dtype}, ${module}: ${relative}`)
      t.equal(svd.maxRank, own.maxRank)
      if (svd.digest !== own.digest) ordered++
      else t.same(new Uint8Array(svd.image), new Uint8Array(own.image), `${name} is what it was`)
    }
  t.ok(ordered > 6, `${ordered} were put in order`)
})

t.test('what takes no rank, or has one alone, stays as it is', async (t) => {
  for (const name of ['dora', 'ia3', 'hira', 'modules-to-save', 'tokens'])
    t.equal(load(folderOf(name), 'svd').digest, load(folderOf(name), 'own').digest, name)
  t.not(load(folderOf('lora-r8-attn'), 'svd').digest, load(folderOf('lora-r8-attn'), 'own').digest)
  t.equal(load(folderOf('lora-r8-attn'), 'svd').digest, load(folderOf('lora-r8-attn'), 'svd').digest)
})

/** A LoRA of one projection. Shape: a [rank, in], b [out, rank]. */
function lora(
  t: Parameters<typeof temporaryFolder>[0],
  rank: number,
  a: (i: number) => number,
  b: (i: number) => number,
): { directory: string; site: Site } {
  const site = base.sites.find(({ module }) => module.endsWith('layers.0.mlp.gate_proj')) as Site
  const key = `base_model.model.${site.module}`
  const directory = writeAdapter(
    temporaryFolder(t),
    { peft_type: 'LORA', r: rank, lora_alpha: rank, target_modules: ['layers.0.mlp.gate_proj'] },
    {
      [`${key}.lora_A.weight`]: floats([rank, site.inFeatures], a),
      [`${key}.lora_B.weight`]: floats([site.outFeatures, rank], b),
    },
  )
  return { directory, site }
}

t.test('factors whose rows repeat, hang together or are nothing', async (t) => {
  const { inFeatures } = base.sites.find(({ module }) => module.endsWith('layers.0.mlp.gate_proj')) as Site
  const wave = (i: number) => Math.sin(i * 12.9898) * 0.3
  const cases: Record<string, [(i: number) => number, (i: number) => number]> = {
    'B is untrained': [wave, () => 0],
    'A is nothing': [() => 0, wave],
    'all rows of A are the same': [(i) => wave(i % inFeatures), wave],
    'all columns of B are the same': [wave, (i) => wave(Math.floor(i / 4))],
    'one row is far larger': [(i) => wave(i) * (i < inFeatures ? 3e4 : 1), wave],
    'one row is far smaller': [(i) => wave(i) * (i < inFeatures ? 1e-9 : 1), wave],
    'all is small': [(i) => wave(i) * 1e-15, (i) => wave(i + 7) * 1e-15],
    'all is large': [(i) => wave(i) * 1e15, (i) => wave(i + 7) * 1e15],
  }
  for (const [what, [a, b]] of Object.entries(cases)) {
    const { directory, site } = lora(t, 4, a, b)
    const whole = deltaOf(load(directory, 'own'), site)
    const turned = deltaOf(load(directory, 'svd'), site)
    t.ok(distance(whole, turned) <= 1e-6 * normOf(whole), `${what}: ${distance(whole, turned)} of ${normOf(whole)}`)
  }
})

t.test('what is not finite is refused as without', async (t) => {
  const broken = changedFixture(t, 'biased/adapters/lora', (_, tensors) => {
    const [key] = Object.keys(tensors).filter((name) => name.includes('lora_A'))
    tensors[key] = floats(tensors[key].shape, (i) => (i === 3 ? Number.NaN : 0.1))
  })
  const of = baseModelOf(fixture('peft/biased/base'))
  for (const order of ['own', 'svd'] as const)
    t.throws(
      () => load(broken, order, of),
      { code: 'adapter_tensor_invalid', message: /lora_A.* holds NaN or infinite values/ },
      order,
    )
})

t.test('more ranks than are ordered are left, with a warning', async (t) => {
  const { directory, site } = lora(
    t,
    300,
    (i) => Math.sin(i),
    (i) => Math.cos(i),
  )
  const wide: BaseModel = {
    ...base,
    sites: base.sites.map((one) => (one.index === site.index ? { ...site, inFeatures: 4096, outFeatures: 4096 } : one)),
  }
  const key = `base_model.model.${site.module}`
  writeAdapter(
    directory,
    { peft_type: 'LORA', r: 300, lora_alpha: 300, target_modules: ['layers.0.mlp.gate_proj'] },
    { [`${key}.lora_A.weight`]: floats([300, 4096]), [`${key}.lora_B.weight`]: floats([4096, 300]) },
  )
  const [own, svd] = [load(directory, 'own', wide), load(directory, 'svd', wide)]
  t.equal(svd.digest, own.digest)
  t.match(svd.warnings, [/its ranks stay in their own order \(--rank-order svd\): it has 300, and up to 256 are ordered/])
  t.same(own.warnings, [])
})

t.test('each order has its own image in the cache', async (t) => {
  const directory = temporaryFolder(t)
  const options = { dtype: 'float16' as const, blockBytes: 1 << 16 }
  const cacheOf = (rankOrder?: 'own' | 'svd') =>
    new ImageCache({ directory, maxBytes: 1 << 30 }, base, { ...options, ...(rankOrder && { rankOrder }) })
  const adapter = folderOf('lora-r8-attn')
  const svd = loadAdapter('a', adapter, base, { ...options, rankOrder: 'svd' })
  const cache = cacheOf('svd')
  cache.keep(adapter, cache.identify(adapter), svd)
  t.equal(cacheOf('svd').find('a', adapter)?.digest, svd.digest)
  t.equal(cacheOf('own').find('a', adapter), undefined)
  t.equal(cacheOf().find('a', adapter), undefined)
})

t.test('singular values and vectors of small matrices', async (t) => {
  const n = 17
  const random = (i: number) => Math.sin(i * 78.233) * 43758.5453 - Math.floor(Math.sin(i * 78.233) * 43758.5453) - 0.5
  const m = Float64Array.from({ length: n * n }, (_, i) => random(i))
  for (let i = 0; i < n; i++) m[i * n + 4] = m[i * n + 5] // of rank n − 1
  const { values, left, right } = singular(m, n)
  t.ok(values.every((value, k) => k === 0 || value <= values[k - 1]))
  t.ok(values[n - 1] < 1e-14 * values[0])
  const again = new Float64Array(n * n)
  for (let k = 0; k < n; k++)
    for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) again[i * n + j] += values[k] * left[k * n + i] * right[k * n + j]
  t.ok(distance(again, m) < 1e-13 * normOf(m))
  const orthogonal = product(right, right, n, true)
  for (let i = 0; i < n; i++) orthogonal[i * n + i] -= 1
  t.ok(normOf(orthogonal) < 1e-13)
  for (const width of [1, 5, 1024, 2500]) {
    const rows = Float32Array.from({ length: 7 * width }, (_, i) => random(i))
    const g = gram(rows, 7, width)
    for (let i = 0; i < 7; i++)
      for (let j = 0; j < 7; j++) {
        let sum = 0
        for (let k = 0; k < width; k++) sum += rows[i * width + k] * rows[j * width + k]
        if (Math.abs(g[i * 7 + j] - sum) > 1e-12 * width) t.fail(`${width}: (${i}, ${j})`)
      }
    const r = root(g, 7)
    const back = product(
      Float64Array.from({ length: 49 }, (_, i) => r[(i % 7) * 7 + Math.floor(i / 7)]),
      r,
      7,
    )
    t.ok(distance(back, g) < 1e-12 * normOf(g), `a root of ${width} columns`)
  }
})
