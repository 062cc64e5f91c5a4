/**
 * JSON read as Python reads it, where JSON.parse forgets what a prompt shows: 1.0 is no integer (it becomes a Number object), large integers keep their digits (bigint), and objects
 * with keys like "10" keep the order of their keys (Map). All of them survive structured cloning.
 */

/** What JSON.parse would lose may be in it. Texts that look like it make a second reading for nothing. */
const SUSPECT = /\d\.0+(?!\d)|[\s:,[]-?\d+(?:\.\d+)?[eE][-+\d]|\d{16}|-0(?![.\d])|"\d+"\s*:/

/** Numbers and texts of a JSON text, one after the other. */
const TOKEN = /\s*(?:([{}[\],:])|("(?:[^"\\]|\\.)*")|(-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?)|(true|false|null))\s*/y

/** Values in each other that are read; JSON.parse goes as deep as the stack. */
const MOST_DEEP = 1000

/** Characters of a body that is kept to be read a second time: at worst some 25 ms on the server's thread. Of larger ones prompts show what JSON.parse makes of them. */
const MOST_KEPT = 1 << 17

/** Texts of bodies in which there is something to lose. */
const kept = new WeakMap<object, string>()
const read = new WeakMap<object, Record<string, unknown>>()

/** Keeps what `body` was read from, if it has to be read again. */
export function keepText(text: string, body: object): void {
  if (text.length <= MOST_KEPT && SUSPECT.test(text)) kept.set(body, text)
}

/** A field of a body, exactly. */
export function exactField(body: Record<string, unknown>, field: string): unknown {
  const text = kept.get(body)
  if (text === undefined || body[field] === undefined) return body[field]
  let exact = read.get(body)
  if (!exact) {
    exact = asObject(parseExactly(text))
    read.set(body, exact)
  }
  return exact[field]
}

/** An object that was read as a Map, as one; what is none stays what it is. */
export function asObject(value: unknown): Record<string, unknown> {
  return (value instanceof Map ? Object.fromEntries(value) : value) as Record<string, unknown>
}

/** Throws SyntaxError for what is no JSON. */
export function parseExactly(json: string): unknown {
  const plain: unknown = JSON.parse(json)
  return SUSPECT.test(json) ? new Reader(json).value(0) : plain
}

/** Of a text that JSON.parse has read. */
class Reader {
  private readonly json: string
  private at = 0

  constructor(json: string) {
    this.json = json
  }

  value(depth: number): unknown {
    if (depth > MOST_DEEP) throw new SyntaxError(`JSON nested more than ${MOST_DEEP} deep`)
    const [, mark, text, number, name] = this.next()
    if (text !== undefined) return JSON.parse(text)
    if (number !== undefined) return numberOf(number)
    if (name !== undefined) return JSON.parse(name)
    return mark === '[' ? this.list(depth) : this.object(depth)
  }

  private list(depth: number): unknown[] {
    const items: unknown[] = []
    if (this.skip(']')) return items
    do items.push(this.value(depth + 1))
    while (this.next()[1] === ',')
    return items
  }

  private object(depth: number): object {
    const entries: [string, unknown][] = []
    let ordered = true
    if (this.skip('}')) return {}
    do {
      const key: string = JSON.parse(this.next()[2])
      this.next()
      entries.push([key, this.value(depth + 1)])
      // Those JavaScript puts before all others.
      if (/^(?:0|[1-9]\d*)$/.test(key)) ordered = false
    } while (this.next()[1] === ',')
    return ordered ? Object.fromEntries(entries) : new Map(entries)
  }

  private next(): RegExpExecArray {
    TOKEN.lastIndex = this.at
    const token = TOKEN.exec(this.json)
    if (!token) throw new SyntaxError('not JSON')
    this.at = TOKEN.lastIndex
    return token
  }

  private skip(mark: string): boolean {
    const there = this.json[this.at] === mark
    if (there) this.next()
    return there
  }
}

function numberOf(text: string): unknown {
  const value = Number(text)
  if (!/[.eE]/.test(text)) return Number.isSafeInteger(value) && text !== '-0' ? value : BigInt(text)
  return Number.isInteger(value) ? Object(value) : value
}
