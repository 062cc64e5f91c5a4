/** Names that every chat template has: Jinja2's, and those that transformers adds. */
import { bind, parameters } from './arguments.ts'
import { JinjaError, typeError, valueError } from './errors.ts'
import { indexOf } from './numbers.ts'
import { str } from './represent.ts'
import { strftime } from './strftime.ts'
import { Callable, Dict, iterate, type Keywords, Namespace, Range, Record, Tuple, typeName, type Value } from './values.ts'

/** Items of the longest range that the sandbox makes. */
const MOST_RANGE = 100_000

function range(args: Value[]): Range {
  if (args.length < 1 || args.length > 3) throw typeError(`range expected 1 to 3 arguments, got ${args.length}`)
  const [start, stop, step] = args.length === 1 ? [0, indexOf(args[0]), 1] : args.map((arg) => indexOf(arg))
  if (step === 0) throw valueError('range() arg 3 must not be zero')
  const made = new Range(start, stop, step ?? 1)
  if (made.length > MOST_RANGE)
    throw new JinjaError('OverflowError', `Range too big. The sandbox blocks ranges larger than MAX_RANGE (${MOST_RANGE}).`)
  return made
}

/** dict(…): of a mapping or of pairs, and of keywords. */
function dict([from, ...more]: Value[], keywords: Keywords): Dict {
  if (more.length > 0) throw typeError(`dict expected at most 1 argument, got ${more.length + 1}`)
  const made = new Dict()
  const pairs = from === undefined ? [] : from instanceof Dict ? from.entries() : Array.from(iterate(from), pairOf)
  for (const [key, value] of pairs) made.set(key, value)
  for (const [key, value] of keywords) made.set(key, value)
  return made
}

function pairOf(value: Value): [Value, Value] {
  const items = [...iterate(value)]
  if (items.length === 2) return [items[0], items[1]]
  throw valueError(`dictionary update sequence element has length ${items.length}; 2 is required`)
}

function namespace(args: Value[], keywords: Keywords): Namespace {
  const attributes = new Map<string, Value>()
  for (const [key, value] of dict(args, keywords).entries()) attributes.set(str(key), value)
  return new Namespace(attributes)
}

class Cycler extends Record {
  readonly type = 'Cycler'
  private readonly items: Value[]
  private at = 0

  constructor(items: Value[]) {
    super()
    if (items.length === 0) throw new JinjaError('TemplateRuntimeError', 'at least one item has to be provided')
    this.items = items
  }

  attribute(name: string): Value | undefined {
    if (name === 'current') return this.items[this.at]
    if (name === 'items') return new Tuple(this.items)
    if (name === 'pos') return this.at
    if (name === 'next')
      return new Callable('next', () => {
        const item = this.items[this.at]
        this.at = (this.at + 1) % this.items.length
        return item
      })
    if (name !== 'reset') return undefined
    return new Callable('reset', () => {
      this.at = 0
      return null
    })
  }
}

const SEPARATOR = parameters('sep?')
const FORMAT = parameters('format')
const MESSAGE = parameters('message')

function joiner(args: Value[], keywords: Keywords): Callable {
  const [separator] = bind('joiner', SEPARATOR, args, keywords)
  let used = false
  return new Callable('joiner', () => {
    const first = !used
    used = true
    return first ? '' : (separator ?? ', ')
  })
}

/** `now`: what strftime_now shows. */
export function globals(now: () => Date): Map<string, Value> {
  const functions: [string, (args: Value[], keywords: Keywords) => Value][] = [
    [
      'range',
      (args, keywords) => {
        if (keywords.size > 0) throw typeError('range() takes no keyword arguments')
        return range(args)
      },
    ],
    ['dict', dict],
    ['namespace', namespace],
    ['cycler', (args) => new Cycler(args)],
    ['joiner', joiner],
    [
      'strftime_now',
      (args, keywords) => {
        const [format] = bind('strftime_now', FORMAT, args, keywords)
        if (typeof format !== 'string') throw typeError(`strftime() argument 1 must be str, not ${typeName(format as Value)}`)
        return strftime(format, now())
      },
    ],
    [
      'raise_exception',
      (args, keywords) => {
        const [message] = bind('raise_exception', MESSAGE, args, keywords)
        throw new JinjaError('TemplateError', str(message as Value))
      },
    ],
  ]
  return new Map(functions.map(([name, call]) => [name, new Callable(name, call)]))
}
