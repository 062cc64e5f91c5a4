/** What reading a body would cost, counted before it is read: JSON.parse cannot be interrupted, and 16 MB of `{},` took it and what follows 3.9 s in which nobody was served. */
import { setImmediate } from 'node:timers/promises'
import { ApiError } from './errors.ts'

/** Nanoseconds that one of each takes to be parsed and checked (measured on a 2.6 GHz EPYC), and how a client is told of too many. */
const COSTS = {
  values: { each: 15, what: 'values' },
  /** Of numbers: one of 700 digits is read 700 times as long. */
  digits: { each: 6, what: 'digits' },
  texts: { each: 110, what: 'texts' },
  /** Integers as keys that do not follow each other: those lie in a table as well. */
  sparse: { each: 200, what: 'keys that do not follow each other' },
  containers: { each: 700, what: 'lists and objects' },
  /** Integers (`logit_bias`) cost no more than texts. */
  names: { each: 2500, what: 'names of fields' },
} as const
type Item = keyof typeof COSTS

/** For all together: 1.5 million token ids, or 85,000 objects, or 24,000 fields. A text may be as long as the body. */
const BUDGET_NS = 60e6

/** How far apart indices may be to lie in an array. */
const NEAR = 8

/** Bytes after which others have a turn. */
const SLICE = 1 << 18

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const COMMA = 0x2c
const BRACKET = 0x5b
const BRACE = 0x7b
const SPACE = 0x20
const ZERO = 0x30
const NINE = 0x39

/** The number of a key that is an index to the engine, which keeps those in an array; -1 for any other. */
function indexOf(body: Buffer, from: number, to: number): number {
  if (to - from > 9 || to === from || (body[from] === ZERO && to - from > 1)) return -1
  let index = 0
  for (let at = from; at < to; at++) {
    if (body[at] < ZERO || body[at] > NINE) return -1
    index = index * 10 + body[at] - ZERO
  }
  return index
}

/** Throws ApiError when reading `body`, which should be JSON, would keep others waiting. */
export async function checkBodyWork(body: Buffer): Promise<void> {
  const counts: Record<Item, number> = { values: 0, digits: 0, texts: 0, sparse: 0, containers: 0, names: 0 }
  let inText = false
  let textFrom = 0
  let textTo = 0
  let last = -1
  let pauseAt = SLICE
  for (let at = 0; at < body.length; at++) {
    if (at >= pauseAt) {
      check(counts)
      await setImmediate()
      pauseAt = at + SLICE
    }
    const byte = body[at]
    if (inText) {
      const quote = byte === QUOTE ? at : body.indexOf(QUOTE, at)
      if (quote < 0) break
      inText = isEscaped(body, quote, textFrom)
      textTo = quote
      at = quote
    } else if (byte === QUOTE) {
      counts.texts++
      inText = true
      textFrom = at + 1
    } else if (byte === COMMA) counts.values++
    else if (byte === BRACKET || byte === BRACE) counts.containers++
    else if (byte === COLON) {
      const index = indexOf(body, textFrom, textTo)
      if (index < 0) counts.names++
      else if (index < last || index > last + NEAR) counts.sparse++
      last = index
    } else if (byte > SPACE) counts.digits++
  }
  check(counts)
}

/** Whether an odd number of backslashes stands before it. */
function isEscaped(body: Buffer, quote: number, from: number): boolean {
  let at = quote
  while (at > from && body[at - 1] === BACKSLASH) at--
  return (quote - at) % 2 === 1
}

function check(counts: Record<Item, number>): void {
  const costs = (Object.keys(COSTS) as Item[]).map((item) => ({ item, ns: counts[item] * COSTS[item].each }))
  if (costs.reduce((sum, { ns }) => sum + ns, 0) <= BUDGET_NS) return
  const { item } = costs.reduce((most, cost) => (cost.ns > most.ns ? cost : most))
  throw new ApiError(
    'body_too_large',
    `the body holds too many ${COSTS[item].what} to be read without keeping others waiting: ${Math.floor(BUDGET_NS / COSTS[item].each)} at most, fewer beside other things; send several requests`,
  )
}
