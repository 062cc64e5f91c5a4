/**
 * Classes of characters beyond ASCII as XGrammar 0.1.27 can be told them. It reads a range in a class as one of bytes, whatever its ends are called: so a class is written as the bytes
 * of its characters' UTF-8, each byte a class. (A class of one alone would be that character again; 0xfe and 0xff stand beside it, which no text has.)
 */

type Range = readonly [low: number, high: number]

/** Where the number of bytes grows. */
const LENGTHS: readonly Range[] = [
  [0x80, 0x7ff],
  [0x800, 0xffff],
  [0x10000, 0x10ffff],
]

/** Bytes of one after the other, for all characters from `low` to `high`, which have as many bytes. */
function sequences(low: number, high: number, found: Range[][]): void {
  for (let bits = 6; bits <= 18; bits += 6) {
    const mask = (1 << bits) - 1
    if ((low & ~mask) === (high & ~mask)) continue
    if ((low & mask) !== 0) {
      sequences(low, low | mask, found)
      sequences((low | mask) + 1, high, found)
      return
    }
    if ((high & mask) !== mask) {
      sequences(low, (high & ~mask) - 1, found)
      sequences(high & ~mask, high, found)
      return
    }
  }
  const [from, to] = [low, high].map((code) => [...new TextEncoder().encode(String.fromCodePoint(code))])
  found.push(from.map((byte, i) => [byte, to[i]] as const))
}

/** An expression for one of these characters, all of them beyond ASCII and no surrogates. */
export function byBytes(set: readonly Range[]): string {
  const found: Range[][] = []
  for (const [low, high] of set)
    for (const [least, most] of LENGTHS) {
      const [from, to] = [Math.max(low, least), Math.min(high, most)]
      if (from <= to) sequences(from, to, found)
    }
  return written(found)
}

function written(all: readonly Range[][]): string {
  // Those that begin with the same byte, then those that go on in the same way.
  const byFirst = new Map<string, Range[][]>()
  for (const [[low, high], ...rest] of all) {
    const key = `${low},${high}`
    byFirst.set(key, [...(byFirst.get(key) ?? []), rest])
  }
  const byRest = new Map<string, Range[]>()
  for (const [key, rests] of byFirst) {
    const rest = rests[0].length === 0 ? '' : ` ${written(rests)}`
    byRest.set(rest, [...(byRest.get(rest) ?? []), key.split(',').map(Number) as unknown as Range])
  }
  const alternatives = [...byRest].map(([rest, firsts]) => byteClass(firsts) + rest)
  return alternatives.length > 1 ? `(${alternatives.join(' | ')})` : alternatives[0]
}

function byteClass(bytes: readonly Range[]): string {
  const joined: [number, number][] = []
  for (const [low, high] of [...bytes].sort((a, b) => a[0] - b[0])) {
    const last = joined.at(-1)
    if (last && last[1] + 1 >= low) last[1] = Math.max(last[1], high)
    else joined.push([low, high])
  }
  const one = (byte: number) => `\\u00${byte.toString(16)}`
  const body = joined.map(([low, high]) => `${one(low)}-${one(high)}`).join('')
  return joined.some(([low, high]) => low < high) ? `[${body}]` : `[${body}${one(0xfe)}-${one(0xff)}]`
}
