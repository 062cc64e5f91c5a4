/** The layout that the kernels rely on, and how rows are scaled before they are rounded. */
import t, { type Test } from 'tap'
import { oneByOne, type SiteFold } from '../../adapters-store/fold.ts'
import { loadAdapter } from '../../adapters-store/index.ts'
import type { AdapterLimits } from '../../adapters-store/limits.ts'
import { pack } from '../../adapters-store/pack.ts'
import { pageStart, rowStart } from '../../adapters-store/pages.ts'
import { type AdapterDtype, ENTRY, ENTRY_FIELDS, type Site } from '../../adapters-store/types.ts'
import { seeded } from '../support/pace.ts'
import { fixture } from '../support/repo.ts'
import { entryOf, imageRow } from './apply-image.ts'
import { baseModelOf } from './base-model.ts'

const site = (index: number, inFeatures: number, outFeatures: number): Site => ({
  index,
  module: `m.${index}_proj`,
  kind: 'linear',
  inFeatures,
  outFeatures,
  weight: `m.${index}_proj.weight`,
  takesInputScale: true,
})

function factorsOf(s: Site, rank: number): SiteFold {
  const a = Float32Array.from({ length: rank * s.inFeatures }, (_, i) => i + 1)
  const b = Float32Array.from({ length: rank * s.outFeatures }, (_, i) => -i - 1)
  return { site: s, factors: { rank, a, b, scale: 1 } }
}

/** The whole image, as the store hands it over. */
function packed(folds: SiteFold[], blockBytes: number, dtype: AdapterDtype = 'float32', frameBytes = blockBytes) {
  return { name: 'x', digest: '', dtype, blockBytes, method: 'x', ...pack(folds, { dtype, blockBytes, frameBytes }) }
}

/** That every row lies where it may, and nothing else in it; returns how many there are. */
function checkRows(t: Test, folds: SiteFold[], image: ReturnType<typeof packed>): number {
  const taken: [number, number][] = []
  for (let e = 0; e < image.entries.length; e += ENTRY_FIELDS) {
    const fold = folds[image.entries[e + ENTRY.site]]
    const rank = image.entries[e + ENTRY.rank]
    for (const [field, width] of [
      [ENTRY.a, fold.site.inFeatures],
      [ENTRY.b, fold.site.outFeatures],
    ]) {
      for (let j = 0; j < rank; j++) {
        const row = image.entries[e + field] + j
        const offset = image.rows[2 * row + 1]
        t.equal(offset % 64, 0)
        const whole = image.rows[2 * row] < image.blocks
        t.ok(image.rows[2 * row] < image.blocks + image.frames)
        t.ok(offset + 4 * width <= (whole ? image.blockBytes : image.frameBytes), 'inside its block or frame')
        const start = rowStart(image, row)
        t.ok(start + 4 * width <= image.image.byteLength)
        taken.push([start, start + 4 * width])
      }
    }
  }
  t.equal(taken.length, image.rows.length / 2, 'every row is named by an entry')
  taken.sort((x, y) => x[0] - y[0])
  for (let i = 1; i < taken.length; i++) t.ok(taken[i][0] >= taken[i - 1][1])
  t.ok(image.image.byteLength <= pageStart(image, image.blocks + image.frames), 'the image lies in its pages')
  t.ok(image.image.byteLength > pageStart(image, image.blocks + image.frames - 1), 'and in all of them')
  return taken.length
}

t.test('rows are aligned, inside one block, and do not overlap, whatever their lengths', async (t) => {
  const folds = [7, 16, 100, 33, 64, 5].map((width, i) => factorsOf(site(i, width, 3 * width + 1), 1 + (i % 4)))
  const image = packed(folds, 1280)
  checkRows(t, folds, image)
  t.equal(image.frames, 0)
})

t.test('what fills less than a block lies in frames, and so does the rest of what fills more', async (t) => {
  // Rows of 256 bytes, 4 a block: 2 · rank of them.
  const of = (rank: number, frameBytes: number) => {
    const folds = [factorsOf(site(0, 64, 64), rank)]
    const image = packed(folds, 1024, 'float32', frameBytes)
    checkRows(t, folds, image)
    return [image.blocks, image.frames]
  }
  t.same(of(1, 256), [0, 2])
  t.same(of(2, 256), [1, 0], 'a whole block is no four frames')
  t.same(of(5, 256), [2, 2])
  t.same(of(1, 512), [0, 1])
  t.same(of(5, 512), [2, 1])
  t.same(of(5, 1024), [3, 0])
  t.same(of(1, 128), [1, 0], 'rows longer than a frame')
})

t.test('long rows lie in whole blocks, and short ones fill what they leave', async (t) => {
  // Six rows of 640 bytes, which no frame of 512 holds, leave 384 in each block of 1024; six of 64 go there, of forty four are left.
  const long = factorsOf(site(1, 160, 160), 3)
  for (const [rank, pages] of [
    [4, [6, 0]],
    [20, [6, 1]],
  ] as const) {
    const folds = [factorsOf(site(0, 16, 16), rank), long]
    const image = packed(folds, 1024, 'float32', 512)
    checkRows(t, folds, image)
    t.same([image.blocks, image.frames], pages)
  }
})

t.test('whatever ranks, widths, blocks and frames', async (t) => {
  const { below: r } = seeded(3)
  for (let round = 0; round < 60; round++) {
    const frameBytes = 64 * (1 + r(12))
    const blockBytes = frameBytes * 2 ** r(5)
    const most = Math.floor(blockBytes / 4)
    const folds = Array.from({ length: 1 + r(5) }, (_, i) => factorsOf(site(i, 1 + r(most), 1 + r(most)), 1 + r(9)))
    const image = packed(folds, blockBytes, 'float32', frameBytes)
    checkRows(t, folds, image)
    t.ok(image.frames < blockBytes / frameBytes)
    const uncut = packed(folds, blockBytes)
    t.ok(image.blocks * blockBytes + image.frames * frameBytes <= uncut.blocks * blockBytes, 'never more than in whole blocks')
  }
})

t.test('values come out as they went in', async (t) => {
  const fold = factorsOf(site(0, 5, 9), 3)
  const image = packed(
    [{ ...fold, outScale: new Float32Array(9).fill(2), bias: new Float32Array(9).fill(3), inScale: new Float32Array(5).fill(4) }],
    128,
  )
  const entry = entryOf(image, fold.site)!
  t.strictSame([...imageRow(image, entry[ENTRY.a] + 1, 5)], [6, 7, 8, 9, 10])
  t.strictSame([...imageRow(image, entry[ENTRY.b] + 2, 9)], [-19, -20, -21, -22, -23, -24, -25, -26, -27])
  t.strictSame([...imageRow(image, entry[ENTRY.outScale], 9)], new Array(9).fill(2))
  t.strictSame([...imageRow(image, entry[ENTRY.bias], 9)], new Array(9).fill(3))
  t.strictSame([...imageRow(image, entry[ENTRY.inScale], 5)], new Array(5).fill(4))
})

t.test('tails left by long rows are filled with short ones', async (t) => {
  // Rows of 640 bytes leave 384 in each block of 1024: six rows of 64 bytes.
  const image = packed([factorsOf(site(0, 160, 160), 4), factorsOf(site(1, 16, 16), 24)], 1024)
  t.equal(image.blocks, 8)
  t.equal(image.image.byteLength, 8 * 1024)
})

t.test('the image ends with its last row', async (t) => {
  t.equal(packed([factorsOf(site(0, 10, 10), 1)], 4096).image.byteLength, 64 + 40)
})

t.test('rows of some outputs come with their index; one that fits no block becomes all rows', async (t) => {
  const s = site(0, 16, 40)
  const index = Int32Array.from({ length: 20 }, (_, j) => 2 * j)
  const dense = { count: 20, index, rows: oneByOne(16, (j, into) => into.fill(j + 1)) }
  const wide = packed([{ site: s, dense }], 128)
  const entry = entryOf(wide, s)!
  t.equal(entry[ENTRY.rank], 20)
  t.strictSame([...new Int32Array(imageRow(wide, entry[ENTRY.index], 20, 'float32').buffer)], [...index])
  const narrow = packed([{ site: s, dense }], 64)
  const all = entryOf(narrow, s)!
  t.strictSame([all[ENTRY.rank], all[ENTRY.index], all[ENTRY.b]], [40, -1, -1])
  t.strictSame([...imageRow(narrow, all[ENTRY.a] + 4, 16)], new Array(16).fill(3))
  t.strictSame([...imageRow(narrow, all[ENTRY.a] + 5, 16)], new Array(16).fill(0))
})

t.test('rows in int8 have their scales in one row behind them, and take half of what 16 bits do', async (t) => {
  const s = site(0, 1024, 640)
  const ramp = (j: number, i: number) => (j + 1) * (i - 500)
  const a = Float32Array.from({ length: 16 * 1024 }, (_, i) => ramp(Math.floor(i / 1024), i % 1024))
  const b = Float32Array.from({ length: 16 * 640 }, (_, i) => ramp(Math.floor(i / 640), i % 640))
  const folds: SiteFold[] = [{ site: s, factors: { rank: 16, a, b, scale: -2 } }]
  const image = packed(folds, 1 << 16, 'int8')
  const half = packed(folds, 1 << 16, 'float16').image.byteLength
  t.equal(half, 2 * 16 * (1024 + 640))
  t.equal(image.image.byteLength, half / 2 + 64, 'and the scales')
  const entry = entryOf(image, s)!
  t.equal(entry[ENTRY.b], entry[ENTRY.a] + 17)
  const scales = imageRow(image, entry[ENTRY.a] + 16, 16, 'float32')
  for (const j of [0, 15]) {
    const [rowA, rowB] = [imageRow(image, entry[ENTRY.a] + j, 1024), imageRow(image, entry[ENTRY.b] + j, 640)]
    t.equal(Math.max(...rowA), 127, "a row's largest")
    t.equal(Math.min(...rowB), -127)
    for (const [i, o] of [
      [0, 0],
      [1023, 639],
      [700, 30],
    ]) {
      const error = scales[j] * rowA[i] * rowB[o] - -2 * ramp(j, i) * ramp(j, o)
      t.ok(Math.abs(error) <= (2 * 1.01 * ramp(j, 1023) * -ramp(j, 0) * 2) / 254, `A ${i} · B ${o} errs by ${error}`)
    }
  }
})

t.test('replaced rows in int8 each have a scale, in however many parts they are made', async (t) => {
  const s = site(0, 1 << 18, 40) // eight rows at a time
  const index = Int32Array.from({ length: 20 }, (_, j) => 2 * j)
  const dense = { count: 20, index, rows: oneByOne(1 << 18, (j, into) => into.fill((j + 1) * (j % 2 ? 1 : -1), j)) }
  const image = packed([{ site: s, dense }], 1 << 20, 'int8')
  const entry = entryOf(image, s)!
  t.strictSame([...new Int32Array(imageRow(image, entry[ENTRY.index], 20, 'float32').buffer)], [...index])
  const scales = imageRow(image, entry[ENTRY.a] + 20, 20, 'float32')
  for (let j = 0; j < 20; j++) {
    t.equal(scales[j], Math.fround(Math.fround(j + 1) / 127))
    const row = imageRow(image, entry[ENTRY.a] + j, 32)
    t.same(
      [...row],
      Array.from({ length: 32 }, (_, i) => (i < j ? 0 : j % 2 ? 127 : -127)),
    )
  }
  const infinite = { count: 1, rows: oneByOne(16, (_, into) => into.fill(Number.POSITIVE_INFINITY)) }
  t.throws(() => packed([{ site: site(0, 16, 1), dense: infinite }], 1024, 'int8'), { code: 'adapter_tensor_invalid' })
  const huge = { ...factorsOf(site(0, 16, 16), 1) }
  huge.factors!.scale = 1e38
  t.throws(() => packed([huge], 1024, 'int8'), { code: 'adapter_tensor_invalid', message: /beyond int8/ })
})

t.test('a site with nothing to do has no entry', async (t) => {
  const image = packed([{ site: site(0, 4, 4) }, factorsOf(site(1, 4, 4), 1)], 64)
  t.equal(image.entries.length, ENTRY_FIELDS)
  t.equal(image.maxRank, 1)
})

t.test('limits of rank and size hold before anything is allocated', async (t) => {
  const options = { dtype: 'float16' as const, blockBytes: 1024 }
  const read = (name: string, limits: AdapterLimits) =>
    loadAdapter(name, fixture('peft/biased/adapters', name), baseModelOf(fixture('peft/biased/base')), { ...options, limits })
  const { maxRank, image } = read('lora', {})
  t.match(read('lora', { rank: maxRank, bytes: image.byteLength }), { maxRank })
  t.throws(() => read('lora', { rank: maxRank - 1 }), {
    code: 'adapter_too_large',
    message: `its rank is ${maxRank}, and this server takes ${maxRank - 1} at most (--max-lora-rank)`,
  })
  t.throws(() => read('lora', { bytes: image.byteLength - 1 }), {
    code: 'adapter_too_large',
    message: `packed, it takes ${image.byteLength} bytes, and this server takes adapters of ${image.byteLength - 1} at most (--max-adapter-bytes)`,
  })
  t.match(read('hira', { rank: 1 }), { maxRank: 0 }, 'what is written out has no rank')
})

t.test('blocks that would break the alignment are a programming error', async (t) => {
  for (const blockBytes of [0, 100, -64]) t.throws(() => pack([], { dtype: 'float16', blockBytes }), RangeError)
  for (const frameBytes of [0, 32, 384, 2048, -64])
    t.throws(() => pack([], { dtype: 'float16', blockBytes: 1024, frameBytes }), RangeError)
})

t.test('float16 factors meet in the middle by a power of two, so that neither overflows nor fades', async (t) => {
  const s = site(0, 4, 4)
  const factors = {
    rank: 2,
    a: Float32Array.from([1e6, 2, 3, 4, 1e-7, 0, 0, 0]),
    b: Float32Array.from([1e-6, 0, 0, 0, 1e3, 0, 0, 1]),
    scale: 2,
  }
  const image = packed([{ site: s, factors }], 64, 'float16')
  const entry = entryOf(image, s)!
  for (const j of [0, 1]) {
    const product = imageRow(image, entry[ENTRY.a] + j, 4)[0] * imageRow(image, entry[ENTRY.b] + j, 4)[0]
    const exact = factors.a[4 * j] * factors.b[4 * j] * 2
    t.ok(Math.abs(product / exact - 1) < 2 ** -10, `${product} for ${exact}`)
    const ratio = imageRow(image, entry[ENTRY.a] + j, 4)[0] / imageRow(image, entry[ENTRY.b] + j, 4)[0]
    t.ok(Math.abs(Math.log2(Math.abs(ratio))) <= 1.01, `they met in the middle: ${ratio}`)
  }
})

t.test(
  'pairs of rows that float16 cannot hold, values too large and values that are no numbers are refused by name',
  async (t) => {
    const s = site(0, 2, 2)
    const factors = (a: number, b: number) => ({ rank: 1, a: Float32Array.of(a, 0), b: Float32Array.of(b, 0), scale: 1 })
    const of = (a: number, b: number, dtype: 'float32' | 'float16') => () =>
      packed([{ site: s, factors: factors(a, b) }], 64, dtype)
    t.throws(of(1e10, 1e3, 'float16'), { code: 'adapter_tensor_invalid', message: /m.0_proj: rank row 0 .*beyond float16/ })
    t.doesNotThrow(of(1e10, 1e3, 'float32'))
    t.throws(of(Number.NaN, 0, 'float32'), { code: 'adapter_tensor_invalid', message: /m.0_proj: rank row 0/ })
    const dense = { count: 2, rows: oneByOne(2, (_, into) => into.fill(1e5)) }
    t.throws(() => packed([{ site: s, dense }], 64, 'float16'), {
      message: /m.0_proj: folded, the adapter has values beyond float16/,
    })
    const bytes = new Uint8Array(Float32Array.of(Number.POSITIVE_INFINITY, 1).buffer)
    const a = { file: 'f', key: 'the.key', dtype: 'float32' as const, bytes, transposed: false }
    for (const b of [0, 1])
      t.throws(() => packed([{ site: s, factors: { ...factors(1, b), a } }], 64, 'float32'), { message: /f: the.key holds NaN/ })
  },
)

t.test('a rank row that adds nothing is packed as zeros, however large its other side', async (t) => {
  const s = site(0, 2, 2)
  const image = packed(
    [{ site: s, factors: { rank: 1, a: Float32Array.from([1e30, 1]), b: new Float32Array(2), scale: 1 } }],
    64,
    'float16',
  )
  t.strictSame([...imageRow(image, entryOf(image, s)![ENTRY.a], 2)], [0, 0])
})
