/** Classes of characters in grammars that clients write: those that name characters beyond ASCII, which XGrammar 0.1.27 takes for others, are written as it takes them (utf8-classes.ts). */
import { type Characters, ConstraintError, characters, complement, oneOf, Rules } from './ebnf.ts'

const NAMED: Record<string, number> = { n: 10, r: 13, t: 9, f: 12, v: 11, b: 8, a: 7, e: 27, '0': 0 }
const ESCAPE = /\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))/suy

/** Throws ConstraintError for a class that cannot be had. */
export function withClasses(ebnf: string): string {
  return ebnf.replace(/"(?:\\.|[^"\\])*"|#.*|\[(?:\\.|[^\]\\])*\]/g, (part) => (part.startsWith('[') ? written(part) : part))
}

function written(whole: string): string {
  const negated = whole.startsWith('[^')
  const items = codesOf(whole.slice(negated ? 2 : 1, -1), whole)
  if (items.every(({ code }) => code <= 0x7f)) return whole
  const ranges: [number, number][] = []
  for (let i = 0; i < items.length; i++) {
    const isRange = items[i + 1]?.dash && items[i + 2] !== undefined
    const [low, high] = [items[i].code, items[isRange ? i + 2 : i].code]
    if (low > high) throw new ConstraintError('', `the class ${whole.slice(0, SHOWN)} has a range that ends before it begins`)
    ranges.push([low, high])
    if (isRange) i += 2
  }
  const set: Characters = negated ? complement(characters(ranges)) : characters(ranges)
  if (set.length === 0) throw new ConstraintError('', `the class ${whole.slice(0, SHOWN)} has no characters`)
  // Rules have names that a grammar has for others: nothing becomes a rule here.
  return oneOf(set, new Inline())
}

/** Characters of a class that a message repeats. */
const SHOWN = 64

class Inline extends Rules {
  override rule(body: string): string {
    return `(${body})`
  }
}

function codesOf(body: string, whole: string): { code: number; dash: boolean }[] {
  const codes: { code: number; dash: boolean }[] = []
  for (let at = 0; at < body.length; ) {
    ESCAPE.lastIndex = at
    const escaped = body[at] === '\\' ? ESCAPE.exec(body) : undefined
    if (escaped) {
      const [all, x, u, U, other] = escaped
      const number = x ?? u ?? U
      const code = number !== undefined ? Number.parseInt(number, 16) : (NAMED[other] ?? (other.codePointAt(0) as number))
      if (code > 0x10ffff) throw new ConstraintError('', `the class ${whole.slice(0, SHOWN)} names what is no character`)
      codes.push({ code, dash: false })
      at += all.length
    } else {
      const char = String.fromCodePoint(body.codePointAt(at) as number)
      codes.push({ code: char.codePointAt(0) as number, dash: char === '-' })
      at += char.length
    }
  }
  return codes
}
