/** Folds to an image in kernel layout: rows 64-byte aligned in blocks and frames, none straddling two (see AdapterImage in types.ts, layOut in pages.ts). */
import { elementBytes, largestMagnitude } from '../native/floats.ts'
import type { FoldImage } from './arithmetic.ts'
import { AdapterError } from './errors.ts'
import { type DenseRows, type Factors, oneByOne, type SiteFold, weightShape } from './fold.ts'
import { imageMemory } from './image-memory.ts'
import { requireWithin } from './limits.ts'
import { layOut, rowStart } from './pages.ts'
import { placeDense, placeFactors, requireInRange } from './place.ts'
import { type AdapterDtype, type AdapterImage, ENTRY, ENTRY_FIELDS, type LoadOptions, type Site } from './types.ts'

const ALIGNMENT = 64
/** Of a rank row in int8: a float32. */
const SCALE_BYTES = 4

export type PackedImage = Pick<AdapterImage, 'frameBytes' | 'blocks' | 'frames' | 'image' | 'rows' | 'entries' | 'maxRank'>

export function pack(folds: SiteFold[], options: LoadOptions): PackedImage {
  const { dtype, blockBytes, frameBytes = blockBytes } = options
  const { layout, places, blocks, frames, bytes } = laidOut(folds, options)
  let image: SharedArrayBuffer
  let view: Uint8Array
  try {
    image = imageMemory(bytes)
    view = new Uint8Array(image)
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new AdapterError(
      'adapter_too_large',
      `folded, the adapter takes ${bytes} bytes, more than can be allocated in one piece`,
    )
  }
  for (const write of layout.writers) write({ dtype, blocks, blockBytes, frameBytes, bytes: view, places })
  return { frameBytes, blocks, frames, image, rows: places, entries: Int32Array.from(layout.entries), maxRank: layout.maxRank }
}

/** What `pack` would make, in numbers; `bytes` are those of the image. Nothing is written, so that factors that are made for it are not. Throws as `pack`. */
export function packedSize(
  folds: SiteFold[],
  options: LoadOptions,
): Pick<PackedImage, 'frameBytes' | 'blocks' | 'frames' | 'maxRank'> & { bytes: number } {
  const { layout, blocks, frames, bytes } = laidOut(folds, options)
  return { frameBytes: options.frameBytes ?? options.blockBytes, blocks, frames, maxRank: layout.maxRank, bytes }
}

function laidOut(folds: SiteFold[], { dtype, blockBytes, frameBytes = blockBytes, limits }: LoadOptions) {
  if (blockBytes <= 0 || blockBytes % ALIGNMENT !== 0)
    throw new RangeError(`blockBytes is ${blockBytes}; a multiple of ${ALIGNMENT} is expected`)
  if (frameBytes <= 0 || frameBytes % ALIGNMENT !== 0 || blockBytes % frameBytes !== 0)
    throw new RangeError(`frameBytes is ${frameBytes}; a multiple of ${ALIGNMENT} that divides ${blockBytes} is expected`)
  const layout = new Layout(dtype, blockBytes)
  for (const fold of folds) layout.add(fold)
  const paged = layOut(layout.rowBytes, blockBytes, frameBytes)
  requireWithin(limits, { rank: layout.maxRank, bytes: paged.bytes })
  return { layout, ...paged }
}

/** The lengths of the rows, the entries that name them, and what writes them once they have their places. */
class Layout {
  readonly rowBytes: number[] = []
  readonly entries: number[] = []
  readonly writers: ((image: FoldImage) => void)[] = []
  maxRank = 0
  readonly #dtype: AdapterDtype
  readonly #blockBytes: number

  constructor(dtype: AdapterDtype, blockBytes: number) {
    this.#dtype = dtype
    this.#blockBytes = blockBytes
  }

  add(fold: SiteFold): void {
    const { site } = fold
    const entry = new Array<number>(ENTRY_FIELDS).fill(-1)
    entry[ENTRY.site] = site.index
    entry[ENTRY.rank] = 0
    if (fold.factors) this.#factors(entry, site, fold.factors)
    else if (fold.dense) this.#dense(entry, site, fold.dense)
    if (fold.outScale) entry[ENTRY.outScale] = this.#vector(site, fold.outScale)
    if (fold.bias) entry[ENTRY.bias] = this.#vector(site, fold.bias)
    if (fold.inScale) entry[ENTRY.inScale] = this.#vector(site, fold.inScale)
    if (entry[ENTRY.rank] === 0 && !fold.outScale && !fold.bias && !fold.inScale) return // a pruned module: nothing to do
    this.entries.push(...entry)
  }

  #factors(entry: number[], site: Site, factors: Factors): void {
    const { rank } = factors
    this.maxRank = Math.max(this.maxRank, rank)
    const size = elementBytes(this.#dtype)
    const a = this.#rows(site, rank, site.inFeatures * size)
    this.#scales(site, rank)
    const b = this.#rows(site, rank, site.outFeatures * size)
    entry[ENTRY.rank] = rank
    entry[ENTRY.a] = a
    entry[ENTRY.b] = b
    this.writers.push((image) => placeFactors(image, site, factors, a, b))
  }

  #dense(entry: number[], site: Site, rows: DenseRows): void {
    // An index that no block can hold is not worth refusing the adapter: the rows between become zeros.
    const dense = rows.index && rows.index.byteLength > this.#blockBytes ? allRows(site, rows) : rows
    const first = this.#rows(site, dense.count, weightShape(site).width * elementBytes(this.#dtype))
    this.#scales(site, dense.count)
    entry[ENTRY.rank] = dense.count
    entry[ENTRY.a] = first
    this.writers.push((image) => placeDense(image, site, dense, first))
    if (dense.index) entry[ENTRY.index] = this.#words(site, dense.index)
  }

  #vector(site: Site, values: Float32Array): number {
    requireInRange(site, largestMagnitude(values), 'float32')
    return this.#words(site, values)
  }

  #words(site: Site, values: Float32Array | Int32Array): number {
    const row = this.#rows(site, 1, values.byteLength)
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    this.writers.push((image) => image.bytes.set(bytes, rowStart({ ...image, rows: image.places }, row)))
    return row
  }

  /** The row behind `count` rank rows in int8 that holds their scales. */
  #scales(site: Site, count: number): void {
    if (this.#dtype === 'int8' && count > 0) this.#rows(site, 1, SCALE_BYTES * count)
  }

  /** Ordinal of the first of `count` rows. */
  #rows(site: Site, count: number, bytes: number): number {
    if (bytes > this.#blockBytes && count > 0) {
      throw new AdapterError(
        'adapter_too_large',
        `${site.module}: one row of the adapter takes ${bytes} bytes, but a pool block has ${this.#blockBytes}; serve with a larger --block-size`,
      )
    }
    const first = this.rowBytes.length
    for (let j = 0; j < count; j++) this.rowBytes.push(bytes)
    return first
  }
}

function allRows(site: Site, { index, rows }: DenseRows): DenseRows {
  const place = new Map(Array.from(index!, (o, j) => [o, j]))
  const shape = weightShape(site)
  return {
    count: shape.rows,
    rows: oneByOne(shape.width, (o, into) => {
      const j = place.get(o)
      if (j !== undefined) rows(j, into)
    }),
  }
}
