/** Python's str() and repr(). */
import { floatText, integerText } from './numbers.ts'
import {
  Callable,
  Dict,
  Float,
  isText,
  Markup,
  Namespace,
  plain,
  Range,
  Record,
  Tuple,
  Undefined,
  type Value,
  View,
} from './values.ts'

export function str(value: Value): string {
  if (typeof value === 'string') return value
  if (value instanceof Markup) return value.text
  if (value instanceof Undefined) return ''
  return repr(value)
}

export function repr(value: Value): string {
  if (value === null) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (typeof value === 'number' || typeof value === 'bigint') return integerText(value)
  if (typeof value === 'string') return reprText(value)
  if (Array.isArray(value)) return `[${value.map(repr).join(', ')}]`
  if (value instanceof Float) return floatText(value.value)
  if (value instanceof Tuple) return `(${value.items.map(repr).join(', ')}${value.items.length === 1 ? ',' : ''})`
  if (value instanceof Dict) return reprDict(value.entries())
  if (value instanceof Markup) return `Markup(${reprText(value.text)})`
  if (value instanceof Undefined) return 'Undefined'
  if (value instanceof View) return `${value.type}([${Array.from(value, repr).join(', ')}])`
  if (value instanceof Range) return `range(${value.start}, ${value.stop}${value.step === 1 ? '' : `, ${value.step}`})`
  if (value instanceof Namespace) return `<Namespace ${reprDict(value.attributes)}>`
  if (value instanceof Callable) return reprCallable(value)
  if (value instanceof Record) {
    const [index, length] = [value.attribute('index'), value.attribute('length')]
    if (typeof index === 'number' && typeof length === 'number') return `<LoopContext ${index}/${length}>`
  }
  return `<${value.type} object at 0x0>`
}

/** An address is another each time, and none here. */
function reprCallable({ type, name, owner }: Callable): string {
  if (type === 'Macro') return `<Macro ${name === '' ? 'anonymous' : reprText(name)}>`
  return owner === undefined ? `<function ${name} at 0x0>` : `<built-in method ${name} of ${owner} object at 0x0>`
}

function reprDict(entries: Iterable<readonly [Value, Value]>): string {
  return `{${Array.from(entries, ([key, value]) => `${repr(key)}: ${repr(value)}`).join(', ')}}`
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const UNPRINTABLE = /[\\\x00-\x1f\x7f]|[^\x00-\x7f]/u
const HIDDEN = /[\p{C}\p{Z}]/u
const NAMED: { [char: string]: string } = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' }

export function reprText(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'"
  if (!UNPRINTABLE.test(text)) return quote + (quote === "'" ? text.replaceAll("'", "\\'") : text) + quote
  let all = quote
  for (const char of text) {
    if (char === quote) all += `\\${char}`
    else if (NAMED[char]) all += NAMED[char]
    else if (char === ' ' || !HIDDEN.test(char)) all += char
    else all += escaped(char.codePointAt(0) as number)
  }
  return all + quote
}

/** `\x07`, `\u200b`, `\U000e0001` */
export function escaped(code: number): string {
  const hex = code.toString(16)
  if (code <= 0xff) return `\\x${hex.padStart(2, '0')}`
  return code <= 0xffff ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`
}

/** soft_str: a text stays what it is, Markup too. */
export const softText = (value: Value): string | Markup => (isText(value) ? value : str(value))

/** Of the same kind as the text that it was made of. */
export const like = (value: Value, text: string): string | Markup => (value instanceof Markup ? new Markup(text) : text)

const ENTITIES: { [char: string]: string } = { '&': '&amp;', '<': '&lt;', '>': '&gt;', "'": '&#39;', '"': '&#34;' }

export function escapeHtml(value: Value): Markup {
  return value instanceof Markup ? value : new Markup(str(value).replace(/[&<>'"]/g, (char) => ENTITIES[char]))
}

/** What a text with Markup in it takes in: escaped if the text is Markup. */
export const into = (target: Value, value: string | Markup): string =>
  target instanceof Markup ? escapeHtml(value).text : plain(value)
