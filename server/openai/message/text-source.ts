/**
 * An answer's text as a parser reads it. Parsers are generators that yield where the text ends that has come so far, and go on there when more has: no parser sees how the text is cut, and none reads a character
 * twice, however long the answer is.
 */
import { JsonScanner } from './json-scanner.ts'

/** Gives T once enough of the text has come. */
export type Reading<T = void> = Generator<undefined, T, undefined>

/** What a marker may stand for: one text of those that it could become. */
type Texts = readonly string[]

const SPACE = /[ \t\r\n]/
/** The first half of a character of two units: it is given with the other, since alone JSON escapes it. */
const HALF = /[\ud800-\udbff]/

export class TextSource {
  private text = ''
  private at = 0
  private over = false
  /** What was taken since `record`, but for the characters between `recordedTo` and `at`; undefined: it is not kept. */
  private kept: string | undefined
  private recordedTo = 0
  /** Where markers stand next in `text`, as far as that was looked for. */
  private readonly places = new Map<string, number>()

  push(text: string): void {
    this.keep()
    this.text = this.text.slice(this.at) + text
    this.at = 0
    this.recordedTo = 0
    this.places.clear()
  }

  /** No more text comes: what was waited for is decided by what is there. */
  end(): void {
    this.over = true
  }

  /** From here on what is taken is kept, for `recorded`. */
  record(): void {
    this.kept = ''
    this.recordedTo = this.at
  }

  /** What was taken since `record`; ends that. */
  recorded(): string {
    this.keep()
    const { kept } = this
    this.kept = undefined
    return kept ?? ''
  }

  /** The next UTF-16 unit, not taken; empty at the end. */
  *peek(): Reading<string> {
    while (this.at === this.text.length) {
      if (this.over) return ''
      yield
    }
    return this.text[this.at]
  }

  /** The next unit, taken. Only after `peek` has found one. */
  next(): string {
    return this.text[this.at++]
  }

  /** Gives back what was taken last. */
  back(text: string): void {
    this.at -= text.length
    this.places.clear()
  }

  /** Takes one of these if it is what comes next. The first in the list that is; a text must not stand before one that it begins. */
  *literal(...texts: string[]): Reading<string | undefined> {
    for (;;) {
      const rest = this.text.length - this.at
      const whole = texts.find((text) => this.text.startsWith(text, this.at))
      const open = texts.some((text) => text.length > rest && text.startsWith(this.text.slice(this.at)))
      if (!open || this.over) {
        this.at += whole?.length ?? 0
        return whole
      }
      yield
    }
  }

  /** Takes white space. */
  *space(): Reading<void> {
    while (SPACE.test(yield* this.peek())) this.at++
  }

  /**
   * Takes text up to the first of these markers, and the marker. `text` is given all before it, as soon as it is certain that it begins no marker. Returns the marker, undefined at the end: with `drop`, what may have
   * become a marker there is given to nobody. Of two markers one must not begin the other.
   */
  *until(markers: Texts, text: (text: string) => void, drop = false): Reading<string | undefined> {
    for (;;) {
      let first = Number.POSITIVE_INFINITY
      let found: string | undefined
      for (const marker of markers) {
        const place = this.placeOf(marker)
        if (place < first) {
          first = place
          found = marker
        }
      }
      const may = found === undefined && (drop || !this.over) ? this.beginning(markers) : 0
      const held = may === 0 && !this.over && this.at < this.text.length && HALF.test(this.text.at(-1) ?? '') ? 1 : may
      this.give(found === undefined ? this.text.length - held : first, text)
      if (found !== undefined) {
        this.at += found.length
        return found
      }
      if (this.over) {
        this.at = this.text.length
        return undefined
      }
      yield
    }
  }

  /** Takes one JSON value, white space before it not included; `sink` is given its text as it comes. False: what comes is none, and is not taken from where it is wrong. */
  *json(sink: (text: string) => void): Reading<boolean> {
    const scanner = new JsonScanner()
    for (;;) {
      this.at = scanner.scan(this.text, this.at)
      if (scanner.written !== '') sink(scanner.written)
      if (scanner.state === 'done') return true
      if (scanner.state === 'wrong') return false
      if (this.over) return scanner.end()
      yield
    }
  }

  /** Takes a JSON string; undefined if what comes is none. */
  *string(): Reading<string | undefined> {
    if ((yield* this.peek()) !== '"') return undefined
    const parts: string[] = []
    const whole = yield* this.json((text) => parts.push(text))
    return whole ? (JSON.parse(parts.join('')) as string) : undefined
  }

  /** Where the marker stands next, Infinity if nowhere. Looked for once: a text may hold many of another marker. */
  private placeOf(marker: string): number {
    const known = this.places.get(marker)
    if (known !== undefined && known >= this.at) return known
    const found = this.text.indexOf(marker, this.at)
    const place = found < 0 ? Number.POSITIVE_INFINITY : found
    this.places.set(marker, place)
    return place
  }

  /** Units at the end of the text that a marker may begin with. */
  private beginning(markers: Texts): number {
    const longest = Math.max(...markers.map(({ length }) => length)) - 1
    for (let length = Math.min(longest, this.text.length - this.at); length > 0; length--) {
      const end = this.text.slice(-length)
      if (markers.some((marker) => marker.length > length && marker.startsWith(end))) return length
    }
    return 0
  }

  /** Takes what is before `end`. */
  private give(end: number, text: (text: string) => void): void {
    const given = this.text.slice(this.at, end)
    this.at = end
    if (given !== '') text(given)
  }

  private keep(): void {
    if (this.kept === undefined) return
    this.kept += this.text.slice(this.recordedTo, this.at)
    this.recordedTo = this.at
  }
}
