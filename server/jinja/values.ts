/**
 * Python's values, as templates see them. None is null; True and False are booleans; str is a string; int is a number that is a safe integer, or a bigint beyond those; list is an
 * array; all others are the classes below. A number that is no integer is never a value: floats are Float, so that 1.0 stays apart from 1.
 */
import { JinjaError, typeError } from './errors.ts'

export type Value = null | boolean | number | bigint | string | Value[] | PyObject
export type Integer = number | bigint
/** Arguments by name. */
export type Keywords = Map<string, Value>

export abstract class PyObject {
  /** Python's name of the type. */
  abstract readonly type: string
}

export class Float extends PyObject {
  readonly type = 'float'
  readonly value: number

  constructor(value: number) {
    super()
    this.value = value
  }
}

export class Tuple extends PyObject {
  readonly type: string = 'tuple'
  readonly items: readonly Value[]
  /** Names of the items, of a named tuple. */
  readonly names: readonly string[]

  constructor(items: readonly Value[], names: readonly string[] = []) {
    super()
    this.items = items
    this.names = names
  }
}

/** Text that is HTML already: markupsafe's str, which escapes what is put into it. */
export class Markup extends PyObject {
  readonly type = 'Markup'
  readonly text: string

  constructor(text: string) {
    super()
    this.text = text
  }
}

/** What is not there. It prints as nothing, is false, empty and equal to its like; everything else fails with its message. */
export class Undefined extends PyObject {
  readonly type = 'Undefined'
  readonly #message: () => string
  readonly #kind: 'UndefinedError' | 'SecurityError'

  constructor(message: () => string, kind: 'UndefinedError' | 'SecurityError' = 'UndefinedError') {
    super()
    this.#message = message
    this.#kind = kind
  }

  fail(): JinjaError {
    return new JinjaError(this.#kind, this.#message())
  }
}

export class Range extends PyObject {
  readonly type = 'range'
  readonly start: number
  readonly stop: number
  readonly step: number
  readonly length: number

  constructor(start: number, stop: number, step: number) {
    super()
    this.start = start
    this.stop = stop
    this.step = step
    this.length = Math.max(0, Math.ceil((stop - start) / step))
  }

  *[Symbol.iterator](): Generator<number> {
    for (let i = 0; i < this.length; i++) yield this.start + i * this.step
  }
}

/** Something that can be gone through once: Python's generators and iterators. Leaving a loop early leaves the rest in it. */
export class Iter extends PyObject {
  readonly type: string
  readonly #next: () => IteratorResult<Value>

  constructor(values: Iterable<Value>, type = 'generator') {
    super()
    this.type = type
    const iterator = values[Symbol.iterator]()
    this.#next = () => iterator.next()
  }

  next(): IteratorResult<Value> {
    return this.#next()
  }

  [Symbol.iterator](): Iterator<Value> {
    return { next: this.#next }
  }
}

/** A key as a Map holds it: equal for what is equal in Python (1, 1.0 and True). */
type Key = string | number | bigint | null

/** Marks what is no string among the keys that are strings; strings that begin with it get another before them. */
const OTHER = '\0'

function keyOf(value: Value): Key {
  if (typeof value === 'string') return value.startsWith(OTHER) ? OTHER + value : value
  if (typeof value === 'number' || typeof value === 'bigint' || value === null) return value
  if (typeof value === 'boolean') return value ? 1 : 0
  if (value instanceof Markup) return keyOf(value.text)
  if (value instanceof Float) return Number.isNaN(value.value) ? `${OTHER}n` : value.value
  if (value instanceof Tuple)
    return `${OTHER}t${JSON.stringify(
      value.items.map(keyOf).map((key) => [typeof key, typeof key === 'bigint' ? String(key) : key]),
    )}`
  if (value instanceof Undefined) return `${OTHER}u`
  if (Array.isArray(value) || value instanceof Dict) throw typeError(`unhashable type: '${typeName(value)}'`)
  let id = identities.get(value)
  if (id === undefined) {
    id = ++lastIdentity
    identities.set(value, id)
  }
  return `${OTHER}o${id}`
}
const identities = new WeakMap<PyObject, number>()
let lastIdentity = 0

export class Dict extends PyObject {
  readonly type = 'dict'
  readonly #values = new Map<Key, Value>()
  /** Of keys that are not their Key. */
  readonly #keys = new Map<Key, Value>()

  static of(entries: Iterable<readonly [Value, Value]>): Dict {
    const dict = new Dict()
    for (const [key, value] of entries) dict.set(key, value)
    return dict
  }

  get size(): number {
    return this.#values.size
  }

  /** undefined: there is no such key. Throws TypeError for a list and a dict. */
  get(key: Value): Value | undefined {
    return this.#values.get(keyOf(key))
  }

  has(key: Value): boolean {
    return this.#values.has(keyOf(key))
  }

  /** Only while it is made: templates change nothing. */
  set(key: Value, value: Value): void {
    const held = keyOf(key)
    if (held !== key && !this.#values.has(held)) this.#keys.set(held, key)
    this.#values.set(held, value)
  }

  *keys(): Generator<Value> {
    for (const held of this.#values.keys()) yield this.#key(held)
  }

  values(): Iterable<Value> {
    return this.#values.values()
  }

  *entries(): Generator<[Value, Value]> {
    for (const [held, value] of this.#values) yield [this.#key(held), value]
  }

  #key(held: Key): Value {
    return this.#keys.size === 0 ? held : (this.#keys.get(held) ?? held)
  }
}

/** What is in a set of values that can be keys. */
export class KeySet {
  readonly #held = new Set<Key>()

  /** Whether it was not in it. */
  add(value: Value): boolean {
    const key = keyOf(value)
    if (this.#held.has(key)) return false
    this.#held.add(key)
    return true
  }
}

export class View extends PyObject {
  readonly type: 'dict_keys' | 'dict_values' | 'dict_items'
  readonly dict: Dict

  constructor(dict: Dict, type: View['type']) {
    super()
    this.dict = dict
    this.type = type
  }

  *[Symbol.iterator](): Generator<Value> {
    if (this.type === 'dict_keys') yield* this.dict.keys()
    else if (this.type === 'dict_values') yield* this.dict.values()
    else for (const pair of this.dict.entries()) yield new Tuple(pair)
  }
}

/** namespace(): the one thing that `set` can change from inside a loop. */
export class Namespace extends PyObject {
  readonly type = 'Namespace'
  readonly attributes: Map<string, Value>

  constructor(attributes: Map<string, Value>) {
    super()
    this.attributes = attributes
  }
}

/** What can be called: a function, a bound method, a macro. */
export class Callable extends PyObject {
  readonly type: string
  readonly name: string
  readonly call: (args: Value[], keywords: Keywords) => Value
  /** Type of the value that it is a method of. */
  readonly owner: string | undefined
  /** What it has after a dot. */
  readonly attributes: ReadonlyMap<string, Value> | undefined

  constructor(
    name: string,
    call: (args: Value[], keywords: Keywords) => Value,
    { owner, type, attributes }: { owner?: string; type?: string; attributes?: ReadonlyMap<string, Value> } = {},
  ) {
    super()
    this.name = name
    this.call = call
    this.type = type ?? (owner === undefined ? 'function' : 'builtin_function_or_method')
    this.owner = owner
    this.attributes = attributes
  }
}

/** Something with attributes that are worked out when they are asked for (`loop`, a cycler). */
export abstract class Record extends PyObject {
  abstract attribute(name: string): Value | undefined
}

export function typeName(value: Value): string {
  if (value === null) return 'NoneType'
  if (typeof value === 'boolean') return 'bool'
  if (typeof value === 'string') return 'str'
  if (typeof value === 'number' || typeof value === 'bigint') return 'int'
  return Array.isArray(value) ? 'list' : value.type
}

export const isText = (value: Value | undefined): value is string | Markup => typeof value === 'string' || value instanceof Markup

/** Of a text. */
export const plain = (value: string | Markup): string => (typeof value === 'string' ? value : value.text)

export const isInteger = (value: Value | undefined): value is Integer => typeof value === 'number' || typeof value === 'bigint'

export function truth(value: Value): boolean {
  if (typeof value !== 'object') return Boolean(value)
  if (value === null || value instanceof Undefined) return false
  if (Array.isArray(value)) return value.length > 0
  if (value instanceof Markup) return value.text !== ''
  if (value instanceof Dict) return value.size > 0
  if (value instanceof Float) return value.value !== 0
  if (value instanceof Tuple) return value.items.length > 0
  if (value instanceof Range) return value.length > 0
  if (value instanceof View) return value.dict.size > 0
  return true
}

/** Throws TypeError for what cannot be gone through. */
export function iterate(value: Value): Iterable<Value> {
  if (Array.isArray(value)) return value
  if (typeof value === 'string') return value
  if (value instanceof Dict) return value.keys()
  if (value instanceof Tuple) return value.items
  if (value instanceof Markup) return value.text
  if (value instanceof Iter || value instanceof View || value instanceof Range) return value
  if (value instanceof Undefined) return []
  throw typeError(`'${typeName(value)}' object is not iterable`)
}

const ASTRAL = /[\ud800-\udbff][\udc00-\udfff]/

/** Characters of a text, as Python counts them. */
export function characters(text: string): number {
  if (!ASTRAL.test(text)) return text.length
  let count = 0
  for (const _ of text) count++
  return count
}

/** Whether it has characters of two UTF-16 units: indices of characters are not those of units then. */
export const hasPairs = (text: string): boolean => ASTRAL.test(text)

/** Throws TypeError for what has no length. */
export function lengthOf(value: Value): number {
  if (isText(value)) return characters(plain(value))
  if (Array.isArray(value)) return value.length
  if (value instanceof Dict) return value.size
  if (value instanceof Tuple) return value.items.length
  if (value instanceof Range) return value.length
  if (value instanceof View) return value.dict.size
  if (value instanceof Undefined) return 0
  if (value instanceof Record) {
    const length = value.attribute('length')
    if (typeof length === 'number') return length
  }
  throw typeError(`object of type '${typeName(value)}' has no len()`)
}

/** UTF-16 units of the largest text, and items of the longest list, that an expression may make. */
export const MOST_UNITS = 16 << 20
const MOST_ITEMS = 4 << 20

/** Throws MemoryError. */
export function requireUnits(units: number): void {
  if (units > MOST_UNITS) throw new JinjaError('MemoryError', `a text of more than ${MOST_UNITS} characters`)
}

export function requireItems(items: number): void {
  if (items > MOST_ITEMS) throw new JinjaError('MemoryError', `a list of more than ${MOST_ITEMS} items`)
}
