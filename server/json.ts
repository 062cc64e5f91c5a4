/** JSON of answers that may be large: byte for byte what JSON.stringify makes, in pieces, with pauses between them in which others are served. */
import { randomUUID } from 'node:crypto'
import { Readable } from 'node:stream'
import { setImmediate } from 'node:timers/promises'

/** Characters after which a writer pauses: a millisecond or two. */
const PAUSE_AFTER = 1 << 16
/** Numbers of a list that are written at a time. */
const NUMBERS = 4096

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
      const json = jsonOf(slice)
      if (typeof json === 'string') yield before + json.slice(1, -1)
      else
        for (const [i, item] of slice.entries()) {
          yield i === 0 ? before : ','
          const text = jsonOf(item as object)
          if (typeof text === 'string') yield text
          else yield* text
        }
      before = ','
    }
    yield before === '[' ? '[]' : ']'
  }
}

/** A list of numbers, which is written in slices if it is long. */
export function slicedNumbers(list: readonly number[] | Int32Array): readonly number[] | SlicedArray {
  return list.length <= NUMBERS && Array.isArray(list) ? list : slicedList(list, (number) => number)
}

/** `item` of each number of a list, made when it is written. */
export function slicedList(list: readonly number[] | Int32Array, item: (number: number) => unknown): SlicedArray {
  const slices = function* () {
    for (let at = 0; at < list.length; at += NUMBERS) yield Array.from(list.slice(at, at + NUMBERS), item)
  }
  return new SlicedArray(slices())
}

/** The text of an object up to where more fields may follow: fields that many objects begin with are written once. */
export function openingOf(fields: object): string {
  return `${JSON.stringify(fields).slice(0, -1)},`
}

/**
 * The text of a value; in pieces, each made when it is asked for, if there are sliced arrays in it. `opening`: of fields that come before the value's own, of which there
 * must be one.
 */
export function jsonOf(value: object, opening?: string): string | Generator<string> {
  met = []
  const own = JSON.stringify(value)
  const text = opening === undefined ? own : opening + own.slice(1)
  return met.length === 0 ? text : pieces(text.split(`"${PLACE}"`), met)
}

function* pieces(around: string[], arrays: SlicedArray[]): Generator<string> {
  for (const [i, text] of around.entries()) {
    yield text
    if (i < arrays.length) yield* arrays[i].texts()
  }
}

/** The same pieces, joined to larger ones, with a turn of the event loop after each. */
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

/** The text of a value, or a stream of it if it is large. */
export async function jsonBody(value: object): Promise<string | Readable> {
  const json = jsonOf(value)
  if (typeof json === 'string') return json
  const texts = paced(json)
  const first = await texts.next()
  const second = await texts.next()
  if (second.done) return first.value as string
  const all = async function* () {
    yield first.value
    yield second.value
    yield* texts
  }
  return Readable.from(all(), { highWaterMark: 1 })
}
