/** What \p{…} means, as the JavaScript engine knows it: asked once for each, since all characters are looked at (some ten milliseconds). */
import { type Characters, characters, complement } from '../ebnf.ts'

const known = new Map<string, Characters>()
/** Sets that are kept. */
const KEPT = 64

/** `raw`: \p{…} or \P{…}, which a parser has found to be one. */
export function ofProperty(raw: string): Characters {
  const found = known.get(raw)
  if (found) return found
  const set = scanned(new RegExp(`^${raw}$`, 'u'))
  if (known.size < KEPT) known.set(raw, set)
  return set
}

function scanned(is: RegExp): Characters {
  const ranges: [number, number][] = []
  for (const [low, high] of complement([]))
    for (let code = low; code <= high; code++) {
      if (!is.test(String.fromCodePoint(code))) continue
      const last = ranges.at(-1)
      if (last && last[1] === code - 1) last[1] = code
      else ranges.push([code, code])
    }
  return characters(ranges)
}
