/** `loop`, and what runs through a `for`. */
import { JinjaError } from './errors.ts'
import { equal } from './operators.ts'
import { Callable, iterate, type Keywords, lengthOf, Record, Tuple, Undefined, type Value } from './values.ts'

/** Goes on with a recursive loop one level deeper, and returns what it writes. */
export type Recurse = (values: Value, depth: number) => Value

export class Loop extends Record {
  readonly type = 'LoopContext'
  private readonly values: Value
  private readonly recurse: Recurse | undefined
  private readonly depth: number
  private iterator: Iterator<Value>
  private index = -1
  private known: number | undefined
  private before: Value | undefined
  private current: Value | undefined
  /** The next one, looked at already. */
  private after: IteratorResult<Value> | undefined
  private last: Value[] | undefined

  /** `depth`: 0 for the outermost. Throws TypeError for what cannot be gone through. */
  constructor(values: Value, recurse: Recurse | undefined, depth: number) {
    super()
    this.values = values
    this.recurse = recurse
    this.depth = depth
    this.iterator = iterate(values)[Symbol.iterator]()
  }

  /** undefined: there is none any more. */
  next(): Value | undefined {
    const next = this.after ?? this.iterator.next()
    this.after = undefined
    if (next.done) return undefined
    this.index++
    this.before = this.current
    this.current = next.value
    return next.value
  }

  attribute(name: string): Value | undefined {
    switch (name) {
      case 'index':
        return this.index + 1
      case 'index0':
        return this.index
      case 'first':
        return this.index === 0
      case 'last':
        return this.peek().done === true
      case 'length':
        return this.length()
      case 'revindex':
        return this.length() - this.index
      case 'revindex0':
        return this.length() - this.index - 1
      case 'depth':
        return this.depth + 1
      case 'depth0':
        return this.depth
      case 'previtem':
        return this.before === undefined ? new Undefined(() => 'there is no previous item') : this.before
      case 'nextitem': {
        const next = this.peek()
        return next.done ? new Undefined(() => 'there is no next item') : next.value
      }
      case 'cycle':
        return new Callable('cycle', (args) => {
          if (args.length === 0) throw new JinjaError('TypeError', 'no items for cycling given')
          return args[this.index % args.length]
        })
      case 'changed':
        return new Callable('changed', (args) => this.changed(args))
      case '__call__':
        return new Callable('loop', (args, keywords) => this.deeper(args, keywords))
      default:
        return undefined
    }
  }

  private peek(): IteratorResult<Value> {
    this.after ??= this.iterator.next()
    return this.after
  }

  private length(): number {
    if (this.known !== undefined) return this.known
    try {
      this.known = lengthOf(this.values)
    } catch {
      const rest = [...iterateRest(this.iterator)]
      this.iterator = rest[Symbol.iterator]()
      this.known = rest.length + this.index + 1 + (this.after && !this.after.done ? 1 : 0)
    }
    return this.known
  }

  private changed(values: Value[]): boolean {
    const same = this.last !== undefined && equal(new Tuple(this.last), new Tuple(values))
    this.last = values
    return !same
  }

  private deeper([values, ...more]: Value[], keywords: Keywords): Value {
    if (!this.recurse) throw new JinjaError('TypeError', "The loop must have the 'recursive' marker to be called recursively.")
    if (values === undefined || more.length > 0 || keywords.size > 0)
      throw new JinjaError('TypeError', 'loop() takes 1 positional argument')
    return this.recurse(values, this.depth + 1)
  }
}

function* iterateRest(iterator: Iterator<Value>): Generator<Value> {
  for (let next = iterator.next(); !next.done; next = iterator.next()) yield next.value
}
