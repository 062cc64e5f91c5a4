/** The pages that an image's rows lie in: whole pool blocks, then frames, which are equal parts of a block. */

export interface Paging {
  /** How many pages are whole blocks; the others are frames. */
  blocks: number
  blockBytes: number
  frameBytes: number
}

/** Byte of the image at which a page begins. */
export function pageStart({ blocks, blockBytes, frameBytes }: Paging, page: number): number {
  const whole = Math.min(page, blocks)
  return whole * blockBytes + (page - whole) * frameBytes
}

/** Byte of the image at which a row begins. */
export function rowStart(image: Paging & { rows: Int32Array }, row: number): number {
  return pageStart(image, image.rows[2 * row]) + image.rows[2 * row + 1]
}

const ALIGNMENT = 64

/** Pages of one size that rows are laid into, each into the first with room for it: the tails that long rows leave are filled with short ones. */
class Pages {
  readonly size: number
  /** Byte at which the last row of each ends. */
  readonly ends: number[] = []
  /** Per row length, the first page that may still have room: pages only fill up, so it never moves back. */
  private readonly candidates = new Map<number, number>()

  constructor(size: number) {
    this.size = size
  }

  /** Takes room for a row and returns where: page and byte offset in it. */
  place(bytes: number): [number, number] {
    const { ends } = this
    const after = (page: number) => Math.ceil(ends[page] / ALIGNMENT) * ALIGNMENT
    let page = this.candidates.get(bytes) ?? 0
    while (page < ends.length && after(page) + bytes > this.size) page++
    this.candidates.set(bytes, page)
    if (page === ends.length) ends.push(0)
    const offset = after(page)
    ends[page] = offset + bytes
    return [page, offset]
  }
}

export interface PagedRows {
  /** [2i], [2i + 1]: page and byte offset of row i. */
  places: Int32Array<ArrayBuffer>
  blocks: number
  frames: number
  /** End of the last row in the image. */
  bytes: number
}

/**
 * Rows of these lengths into blocks; the last block, where no row of it is longer than a frame, into as many frames as it takes. So an adapter shares a block by less
 * than one block's worth of it, and what is larger than a block stands for itself.
 */
export function layOut(rowBytes: readonly number[], blockBytes: number, frameBytes: number): PagedRows {
  const places = new Int32Array(2 * rowBytes.length)
  const whole = new Pages(blockBytes)
  /** The first block of which every row fits a frame. */
  let short = 0
  // Long rows first: what they leave of their blocks is for the others.
  const long = rowBytes.some((bytes) => bytes > frameBytes)
  for (const longOnes of long ? [true, false] : [false]) {
    for (let i = 0; i < rowBytes.length; i++) {
      if (long && rowBytes[i] > frameBytes !== longOnes) continue
      places.set(whole.place(rowBytes[i]), 2 * i)
    }
    if (longOnes) short = whole.ends.length
  }
  const last = whole.ends.length - 1
  const cut = new Pages(frameBytes)
  if (last >= short && frameBytes < blockBytes) {
    const inFrames: [row: number, page: number, offset: number][] = []
    for (let i = 0; i < rowBytes.length; i++) if (places[2 * i] === last) inFrames.push([i, ...cut.place(rowBytes[i])])
    // Cut up as a whole it would gain nothing.
    if (cut.ends.length < blockBytes / frameBytes) {
      for (const [row, page, offset] of inFrames) places.set([last + page, offset], 2 * row)
      const frames = cut.ends.length
      const bytes = pageStart({ blocks: last, blockBytes, frameBytes }, last + frames - 1) + cut.ends[frames - 1]
      return { places, blocks: last, frames, bytes }
    }
  }
  return { places, blocks: last + 1, frames: 0, bytes: last < 0 ? 0 : last * blockBytes + whole.ends[last] }
}
