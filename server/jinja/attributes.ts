/** value.name and value[key], as Jinja2's immutable sandbox looks them up. */
import { bind, parameters } from './arguments.ts'
import { isKind, JinjaError, valueError } from './errors.ts'
import type { Reach } from './format.ts'
import { indexOf } from './numbers.ts'
import { equal, subscript } from './operators.ts'
import { reprText } from './represent.ts'
import { textMethod } from './string-methods.ts'
import {
  Callable,
  Dict,
  Float,
  isInteger,
  isText,
  iterate,
  Namespace,
  Range,
  Record,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from './values.ts'

/** What would change a value: the sandbox does not hand it out. */
const CHANGES: { [type: string]: Set<string> } = {
  list: new Set(['append', 'clear', 'pop', 'reverse', 'insert', 'sort', 'extend', 'remove']),
  dict: new Set(['clear', 'pop', 'popitem', 'setdefault', 'update']),
}
/** Every object of Python has them. */
const INTERNAL = new Set(
  'class delattr dir doc eq format ge getattribute getstate gt hash init init_subclass le lt ne new reduce reduce_ex repr setattr sizeof str subclasshook'
    .split(' ')
    .map((name) => `__${name}__`),
)

/** value.name: an attribute, or else an item. */
export function getattr(value: Value, name: string): Value {
  const attribute = attributeOf(value, name)
  if (attribute !== undefined) return attribute
  const item = itemOf(value, name)
  return item !== undefined ? item : missing(value, name)
}

/** value[key]: an item, or else an attribute of that name. */
export function getitem(value: Value, key: Value): Value {
  const item = itemOf(value, key)
  if (item !== undefined) return item
  const attribute = isText(key) ? attributeOf(value, typeof key === 'string' ? key : key.text) : undefined
  return attribute !== undefined ? attribute : missing(value, key)
}

/** For fields of str.format. */
export const reach: Reach = { attribute: getattr, item: getitem }

function itemOf(value: Value, key: Value): Value | undefined {
  if (value instanceof Dict && typeof key === 'string') return value.get(key)
  try {
    return subscript(value, key)
  } catch (error) {
    if (isKind(error, 'TypeError', 'KeyError', 'IndexError')) return undefined
    throw error
  }
}

const named = (value: Value) => (value === null ? 'None' : `${typeName(value)} object`)

function missing(value: Value, key: Value): Undefined {
  return new Undefined(() =>
    isText(key)
      ? `'${named(value)}' has no attribute ${reprText(typeof key === 'string' ? key : key.text)}`
      : `${named(value)} has no element ${isInteger(key) ? key : `of type '${typeName(key)}'`}`,
  )
}

function unsafe(value: Value, name: string): Undefined {
  return new Undefined(
    () => `access to attribute ${reprText(name)} of ${reprText(typeName(value))} object is unsafe.`,
    'SecurityError',
  )
}

/** undefined: it has no such attribute. */
export function attributeOf(value: Value, name: string): Value | undefined {
  if (value instanceof Undefined) throw value.fail()
  if (name.startsWith('_') && INTERNAL.has(name)) return unsafe(value, name)
  if (value instanceof Dict) return dictMethod(value, name)
  if (isText(value)) return textMethod(value, name, reach)
  if (value instanceof Namespace) return value.attributes.get(name)
  if (value instanceof Record) return value.attribute(name)
  if (value instanceof Callable) return value.attributes?.get(name)
  if (Array.isArray(value)) return sequenceMethod(value, value, name)
  if (value instanceof Tuple) {
    const place = value.names.indexOf(name)
    return place >= 0 ? value.items[place] : sequenceMethod(value, value.items, name)
  }
  if (value instanceof Range)
    return name === 'start' || name === 'stop' || name === 'step' ? value[name] : sequenceMethod(value, [...value], name)
  if (value instanceof View) return name === 'mapping' ? value.dict : undefined
  return numberAttribute(value, name)
}

const GET = parameters('key, default?, /')

function dictMethod(dict: Dict, name: string): Value | undefined {
  switch (name) {
    case 'get':
      return new Callable(
        'get',
        (args, keywords) => {
          const [key, otherwise] = bind('get', GET, args, keywords)
          const value = dict.get(key as Value)
          return value !== undefined ? value : (otherwise ?? null)
        },
        { owner: 'dict' },
      )
    case 'items':
    case 'keys':
    case 'values':
      return method('dict', name, '', () => new View(dict, `dict_${name}`))
    case 'copy':
      return method('dict', name, '', () => Dict.of(dict.entries()))
    case 'fromkeys':
      return method('dict', name, 'iterable, value?, /', ([keys, value]) =>
        Dict.of(Array.from(iterate(keys as Value), (key) => [key, value ?? null] as const)),
      )
    default:
      return CHANGES.dict.has(name) ? unsafe(dict, name) : undefined
  }
}

function sequenceMethod(self: Value, items: readonly Value[], name: string): Value | undefined {
  if (name === 'count')
    return method(typeName(self), name, 'value, /', ([value]) => items.filter((item) => equal(item, value as Value)).length)
  if (name === 'index')
    return method(typeName(self), name, 'value, start?, stop?, /', ([value, start, stop]) => {
      const [from, to] = [start ?? null, stop ?? null].map((bound) => (bound === null ? undefined : indexOf(bound)))
      const within = items.slice(from, to)
      const at = within.findIndex((item) => equal(item, value as Value))
      if (at < 0) throw valueError('the value is not in the list')
      return items.slice(0, from ?? 0).length + at
    })
  if (!Array.isArray(self)) return undefined
  if (name === 'copy') return method(typeName(self), name, '', () => [...items])
  return CHANGES.list.has(name) ? unsafe(self, name) : undefined
}

function numberAttribute(value: Value, name: string): Value | undefined {
  if (value instanceof Float) {
    if (name === 'is_integer') return method(typeName(value), name, '', () => Number.isInteger(value.value))
    return name === 'real' ? value : name === 'imag' ? new Float(0) : undefined
  }
  if (!isInteger(value) && typeof value !== 'boolean') return undefined
  const number = typeof value === 'boolean' ? Number(value) : value
  if (name === 'real' || name === 'numerator') return number
  if (name === 'imag') return 0
  if (name === 'denominator') return 1
  if (name === 'bit_length')
    return method(typeName(value), name, '', () => (number === 0 ? 0 : (number < 0 ? -number : number).toString(2).length))
  return undefined
}

function method(owner: string, name: string, signature: string, call: (args: (Value | undefined)[]) => Value): Callable {
  const all = parameters(signature)
  return new Callable(name, (args, keywords) => call(bind(name, all, args, keywords)), { owner })
}

/** value(…). Throws what Jinja2 throws for what cannot be called. */
export function call(value: Value, args: Value[], keywords: Map<string, Value>): Value {
  if (value instanceof Callable) return value.call(args, keywords)
  if (value instanceof Undefined) throw value.fail()
  if (value instanceof Record) {
    const called = value.attribute('__call__')
    if (called instanceof Callable) return called.call(args, keywords)
  }
  throw new JinjaError('TypeError', `'${typeName(value)}' object is not callable`)
}
