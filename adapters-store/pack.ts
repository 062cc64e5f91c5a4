/**
 * Folds to an image in kernel layout: rows 64-byte aligned in blocks, none straddling two (see AdapterImage in types.ts).
 * Each row goes into the first block with room for it, so that the tails left by long rows are filled with short ones.
 */
import { balance } from './balance.ts'
import { AdapterError } from './errors.ts'
import { type DenseRows, type SiteFold, weightShape } from './fold.ts'
import { elementBytes, encodeRow, LARGEST, largestMagnitude } from './half.ts'
import { type AdapterDtype, type AdapterImage, ENTRY, ENTRY_FIELDS, type Site } from './types.ts'

const ALIGNMENT = 64

interface PlannedRow {
  bytes: number
  write(target: Uint8Array): void
}

export type PackedImage = Pick<AdapterImage, 'blocks' | 'image' | 'rows' | 'entries' | 'maxRank'>

export function pack(folds: SiteFold[], { dtype, blockBytes }: { dtype: AdapterDtype; blockBytes: number }): PackedImage {
  if (blockBytes <= 0 || blockBytes % ALIGNMENT !== 0)
    throw new RangeError(`blockBytes is ${blockBytes}; a multiple of ${ALIGNMENT} is expected`)
  const plan = new Plan(dtype, blockBytes)
  for (const fold of folds) plan.add(fold)
  const { places, blocks, bytes } = layOut(plan.rows, blockBytes)
  let image: SharedArrayBuffer
  try {
    image = new SharedArrayBuffer(bytes)
  } catch {
    throw new AdapterError(
      'adapter_too_large',
      `folded, the adapter takes ${bytes} bytes, more than can be allocated in one piece`,
    )
  }
  plan.rows.forEach((row, i) => {
    row.write(new Uint8Array(image, places[2 * i] * blockBytes + places[2 * i + 1], row.bytes))
  })
  return { blocks, image, rows: places, entries: Int32Array.from(plan.entries), maxRank: plan.maxRank }
}

/** The rows to be written and the entries that name them. */
class Plan {
  readonly rows: PlannedRow[] = []
  readonly entries: number[] = []
  maxRank = 0
  readonly #dtype: AdapterDtype
  readonly #blockBytes: number
  #scratch = new Float32Array(0)

  constructor(dtype: AdapterDtype, blockBytes: number) {
    this.#dtype = dtype
    this.#blockBytes = blockBytes
  }

  add(fold: SiteFold): void {
    const { site } = fold
    const entry = new Array<number>(ENTRY_FIELDS).fill(-1)
    entry[ENTRY.site] = site.index
    entry[ENTRY.rank] = 0
    if (fold.factors) this.#factors(entry, fold)
    else if (fold.dense) this.#dense(entry, site, fold.dense)
    if (fold.outScale) entry[ENTRY.outScale] = this.#vector(site, fold.outScale)
    if (fold.bias) entry[ENTRY.bias] = this.#vector(site, fold.bias)
    if (fold.inScale) entry[ENTRY.inScale] = this.#vector(site, fold.inScale)
    if (entry[ENTRY.rank] === 0 && !fold.outScale && !fold.bias && !fold.inScale) return // a pruned module: nothing to do
    this.maxRank = Math.max(this.maxRank, entry[ENTRY.rank])
    this.entries.push(...entry)
  }

  #factors(entry: number[], { site, factors }: SiteFold): void {
    const { rank, a, b } = factors!
    const { inFeatures, outFeatures } = site
    const scales = balance(site, factors!, this.#dtype)
    entry[ENTRY.rank] = rank
    entry[ENTRY.a] = this.rows.length
    for (let j = 0; j < rank; j++) this.#encoded(site, a.subarray(j * inFeatures, (j + 1) * inFeatures), scales.a[j])
    entry[ENTRY.b] = this.rows.length
    for (let j = 0; j < rank; j++) this.#encoded(site, b.subarray(j * outFeatures, (j + 1) * outFeatures), scales.b[j])
  }

  #dense(entry: number[], site: Site, rows: DenseRows): void {
    const { width } = weightShape(site)
    // An index that no block can hold is not worth refusing the adapter: the rows between become zeros.
    const dense = rows.index && rows.index.byteLength > this.#blockBytes ? allRows(site, rows) : rows
    const row = new Float32Array(width)
    entry[ENTRY.rank] = dense.count
    entry[ENTRY.a] = this.rows.length
    for (let j = 0; j < dense.count; j++) {
      this.#plan(site, width * elementBytes(this.#dtype), (target) => {
        dense.row(j, row)
        requireInRange(site, row, this.#dtype)
        encodeRow(this.#dtype, row, 1, target, this.#room(width))
      })
    }
    if (dense.index) {
      const bytes = new Uint8Array(dense.index.buffer, dense.index.byteOffset, dense.index.byteLength)
      entry[ENTRY.index] = this.#plan(site, bytes.length, (target) => target.set(bytes))
    }
  }

  #encoded(site: Site, row: Float32Array, factor: number): void {
    this.#plan(site, row.length * elementBytes(this.#dtype), (target) =>
      encodeRow(this.#dtype, row, factor, target, this.#room(row.length)),
    )
  }

  #vector(site: Site, values: Float32Array): number {
    requireInRange(site, values, 'float32')
    return this.#plan(site, values.byteLength, (target) => encodeRow('float32', values, 1, target, values))
  }

  #plan(site: Site, bytes: number, write: (target: Uint8Array) => void): number {
    if (bytes > this.#blockBytes) {
      throw new AdapterError(
        'adapter_too_large',
        `${site.module}: one row of the adapter takes ${bytes} bytes, but a pool block has ${this.#blockBytes}; serve with a larger --block-size`,
      )
    }
    return this.rows.push({ bytes, write }) - 1
  }

  #room(length: number): Float32Array {
    if (this.#scratch.length < length) this.#scratch = new Float32Array(length)
    return this.#scratch
  }
}

function requireInRange(site: Site, row: Float32Array, dtype: AdapterDtype): void {
  if (largestMagnitude(row) <= LARGEST[dtype]) return
  throw new AdapterError(
    'adapter_tensor_invalid',
    `${site.module}: folded, the adapter has values beyond ${dtype}; serve with --adapter-dtype ${dtype === 'float16' ? 'bfloat16' : 'float32'}`,
  )
}

function allRows(site: Site, { index, row }: DenseRows): DenseRows {
  const place = new Map(Array.from(index!, (o, j) => [o, j]))
  return {
    count: weightShape(site).rows,
    row(o, into) {
      const j = place.get(o)
      if (j === undefined) into.fill(0)
      else row(j, into)
    },
  }
}

/** places[2i], places[2i + 1] = (block, byte offset) of row i; `bytes` is the end of the last row. */
function layOut(rows: PlannedRow[], blockBytes: number): { places: Int32Array<ArrayBuffer>; blocks: number; bytes: number } {
  const places = new Int32Array(2 * rows.length)
  const used: number[] = []
  const ends: number[] = []
  /** Per row length, the first block that may still have room: blocks only fill up, so it never moves back. */
  const candidates = new Map<number, number>()
  rows.forEach(({ bytes }, i) => {
    let block = candidates.get(bytes) ?? 0
    while (block < used.length && used[block] + bytes > blockBytes) block++
    candidates.set(bytes, block)
    if (block === used.length) used.push(0)
    places[2 * i] = block
    places[2 * i + 1] = used[block]
    ends[block] = used[block] + bytes
    used[block] = Math.ceil(ends[block] / ALIGNMENT) * ALIGNMENT
  })
  const last = used.length - 1
  return { places, blocks: used.length, bytes: last < 0 ? 0 : last * blockBytes + ends[last] }
}
