/** Added tokens in a text: which stretches are tokens already, before anything is normalized and after it, as Hugging Face's Rust library finds them. */
import type { Normalize } from './normalizers.ts'
import { escaped, WHITE_SPACE } from './patterns.ts'

export interface AddedToken {
  id: number
  content: string
  /** Only where no letter stands beside it. */
  single_word: boolean
  /** It takes the white space before it along, and that behind it. */
  lstrip: boolean
  rstrip: boolean
  /** It is looked for in the normalized text. */
  normalized: boolean
}

/** A token, or a text between tokens. */
export type Section = { id: number } | { text: string; first: boolean }

const WORD = '[\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}]'
const STARTS_WITH_WORD = new RegExp(`^${WORD}`, 'u')
const ENDS_WITH_WORD = new RegExp(`${WORD}$`, 'u')
const SPACE = new RegExp(WHITE_SPACE, 'u')

export class AddedTokens {
  private readonly plain: Finder | undefined
  private readonly normalized: Finder | undefined
  private readonly normalize: Normalize | undefined
  private readonly stripsStart: boolean

  constructor(tokens: readonly AddedToken[], normalize: Normalize | undefined, stripsStart: boolean) {
    this.normalize = normalize
    this.stripsStart = stripsStart
    const spelled = (only: boolean, spelling: (token: AddedToken) => string) => {
      const chosen = tokens.filter((token) => (token.normalized && normalize !== undefined) === only)
      return finderOf(chosen.map((token) => [spelling(token), token] as const))
    }
    this.plain = spelled(false, ({ content }) => content)
    this.normalized = spelled(true, ({ content }) => (normalize as Normalize)(content))
  }

  /** The sections of a text, normalized; none of them is empty. */
  sections(text: string): Section[] {
    const all: Section[] = []
    for (const section of this.plain ? this.plain.sections(text, true) : [{ text, first: true }]) {
      if ('id' in section) all.push(section)
      else {
        const normal = this.normalize ? this.normalize(section.text) : section.text
        const first = section.first && !(this.stripsStart && SPACE.test(section.text[0]))
        if (this.normalized) all.push(...this.normalized.sections(normal, first))
        else if (normal !== '') all.push({ text: normal, first })
      }
    }
    return all
  }
}

/** undefined: there are none to find. */
function finderOf(tokens: (readonly [string, AddedToken])[]): Finder | undefined {
  const bySpelling = new Map(tokens.filter(([spelling]) => spelling !== ''))
  return bySpelling.size > 0 ? new Finder(bySpelling) : undefined
}

class Finder {
  private readonly tokens: ReadonlyMap<string, AddedToken>
  private readonly pattern: RegExp

  constructor(tokens: ReadonlyMap<string, AddedToken>) {
    this.tokens = tokens
    // The leftmost, and of those that begin there the longest.
    const longestFirst = [...tokens.keys()].sort((a, b) => b.length - a.length)
    this.pattern = new RegExp(longestFirst.map(escaped).join('|'), 'gu')
  }

  /** `first`: the text is the beginning of the whole. */
  sections(text: string, first: boolean): Section[] {
    const all: Section[] = []
    let at = 0
    const between = (end: number) => {
      if (at < end) all.push({ text: text.slice(at, end), first: first && at === 0 })
    }
    for (const match of text.matchAll(this.pattern)) {
      const token = this.tokens.get(match[0]) as AddedToken
      let start = match.index
      let end = start + match[0].length
      if (start < at || (token.single_word && !standsAlone(text, start, end))) continue
      if (token.lstrip) while (start > at && SPACE.test(text[start - 1])) start--
      if (token.rstrip) while (end < text.length && SPACE.test(text[end])) end++
      between(start)
      all.push({ id: token.id })
      at = end
    }
    between(text.length)
    return all
  }
}

const standsAlone = (text: string, start: number, end: number) =>
  !ENDS_WITH_WORD.test(text.slice(Math.max(0, start - 2), start)) && !STARTS_WITH_WORD.test(text.slice(end, end + 2))
