/** JSON of answers that may be large: byte for byte what JSON.stringify makes, in pieces, with pauses between them in which others are served. */
import { randomUUID } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'

/** Characters after which a writer pauses. A piece of some ten thousand numbers and strings takes a few milliseconds. */
const PAUSE_AFTER = 1 << 16

/** Where a sliced array stands in the text around it. Nobody who could write it knows it. */
const PLACE = `sliced ${randomUUID()}`
let met: SlicedArray[] = []

/** A JSON array whose items are made while it is written, slice by slice: all together they would block the thread. It can be written once. */
export class SlicedArray {
  private readonly slices: Iterable<readonly unknown[]>

  constructor(slices: Iterable<readonly unknown[]>) {
    this.slices = slices
  }

  toJSON(): string {
    met.push(this)
    return PLACE
  }

  *texts(): Generator<string> {
    let before = '['
    for (const slice of this.slices) {
      if (slice.length === 0) continue
      yield before + JSON.stringify(slice).slice(1, -1)
      before = ','
    }
    yield before === '[' ? '[]' : ']'
  }
}

/** The text of a value; in pieces, each made when it is asked for, if there are sliced arrays in it. */
export function jsonOf(value: object): string | Generator<string> {
  met = []
  const text = JSON.stringify(value)
  return met.length === 0 ? text : pieces(text.split(`"${PLACE}"`), met)
}

function* pieces(around: string[], arrays: SlicedArray[]): Generator<string> {
  for (const [i, text] of around.entries()) {
    yield text
    if (i < arrays.length) yield* arrays[i].texts()
  }
}

/** The same pieces, joined to larger ones, with a turn of the event loop before each. */
export async function* paced(texts: Iterable<string>): AsyncGenerator<string> {
  let held = ''
  for (const text of texts) {
    held += text
    if (held.length < PAUSE_AFTER) continue
    yield held
    held = ''
    await setImmediate()
  }
  if (held !== '') yield held
}
