/** Python's operators. */
import { JinjaError, typeError, valueError } from './errors.ts'
import { calculate, indexOf, numeric, type Operator } from './numbers.ts'
import { percent } from './percent.ts'
import { escapeHtml, like } from './represent.ts'
import { bounds, compareTexts, repeat } from './text.ts'
import {
  Dict,
  Float,
  hasPairs,
  type Integer,
  isText,
  iterate,
  Markup,
  plain,
  Range,
  requireItems,
  requireUnits,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from './values.ts'

export function equal(left: Value, right: Value): boolean {
  if (left === right) return true
  if (isText(left)) return isText(right) && plain(left) === plain(right)
  const number = numeric(left)
  if (number !== undefined) {
    const other = numeric(right)
    return other !== undefined && compareNumbers(number, other) === 0
  }
  if (Array.isArray(left)) return Array.isArray(right) && equalItems(left, right)
  if (left instanceof Tuple) return right instanceof Tuple && equalItems(left.items, right.items)
  if (left instanceof Dict) return right instanceof Dict && equalDicts(left, right)
  if (left instanceof Undefined) return right instanceof Undefined
  if (left instanceof Range) return right instanceof Range && equalItems([...left], [...right])
  if (left instanceof View) return right instanceof View && equalViews(left, right)
  return false
}

function equalItems(left: readonly Value[], right: readonly Value[]): boolean {
  return left.length === right.length && left.every((item, i) => equal(item, right[i]))
}

function equalDicts(left: Dict, right: Dict): boolean {
  if (left.size !== right.size) return false
  for (const [key, value] of left.entries()) {
    const other = right.get(key)
    if (other === undefined || !equal(value, other)) return false
  }
  return true
}

/** Keys and items are sets; values are none. */
function equalViews(left: View, right: View): boolean {
  if (left.type !== right.type || left.type === 'dict_values' || left.dict.size !== right.dict.size) return false
  for (const item of left) if (!contains(right, item)) return false
  return true
}

/** NaN: they are in no order. */
function compareNumbers(left: Integer | Float, right: Integer | Float): number {
  if (left instanceof Float || right instanceof Float) {
    const [a, b] = [left instanceof Float ? left.value : left, right instanceof Float ? right.value : right]
    return a < b ? -1 : a > b ? 1 : a <= b ? 0 : Number.NaN
  }
  return left < right ? -1 : left > right ? 1 : 0
}

export type Order = '<' | '<=' | '>' | '>='

/** left < right and its like. Throws TypeError for what has no order. */
export function ordered(operator: Order, left: Value, right: Value): boolean {
  const compared = compare(left, right, operator)
  if (operator === '<') return compared < 0
  if (operator === '<=') return compared <= 0
  return operator === '>' ? compared > 0 : compared >= 0
}

/** Negative, 0, positive, or NaN. Throws TypeError for what has no order. */
export function compare(left: Value, right: Value, operator: Order = '<'): number {
  if (isText(left) && isText(right)) return compareTexts(plain(left), plain(right))
  const [a, b] = [numeric(left), numeric(right)]
  if (a !== undefined && b !== undefined) return compareNumbers(a, b)
  const items = [left, right].map((value) => (value instanceof Tuple ? value.items : value))
  if (Array.isArray(items[0]) && Array.isArray(items[1]) && typeName(left) === typeName(right)) {
    const [first, second] = items as Value[][]
    for (let i = 0; i < first.length && i < second.length; i++)
      if (!equal(first[i], second[i])) return compare(first[i], second[i], operator)
    return first.length - second.length
  }
  failUndefined(left, right)
  throw typeError(`'${operator}' not supported between instances of '${typeName(left)}' and '${typeName(right)}'`)
}

function failUndefined(...values: Value[]): void {
  for (const value of values) if (value instanceof Undefined) throw value.fail()
}

/** item in container */
export function contains(container: Value, item: Value): boolean {
  if (isText(container)) {
    if (!isText(item)) throw typeError(`'in <string>' requires string as left operand, not ${typeName(item)}`)
    return plain(container).includes(plain(item))
  }
  if (container instanceof Dict) return container.has(item)
  if (container instanceof View && container.type === 'dict_keys') return container.dict.has(item)
  if (container instanceof View && container.type === 'dict_items') {
    if (!(item instanceof Tuple) || item.items.length !== 2) return false
    const value = container.dict.get(item.items[0])
    return value !== undefined && equal(value, item.items[1])
  }
  let values: Iterable<Value>
  try {
    values = iterate(container)
  } catch {
    throw typeError(`argument of type '${typeName(container)}' is not iterable`)
  }
  for (const value of values) if (equal(value, item)) return true
  return false
}

const NAMES: Partial<{ [operator in Operator]: string }> = { '**': '** or pow()' }

/** Throws TypeError for values that the operator does not know. */
export function binary(operator: Operator, left: Value, right: Value): Value {
  const [a, b] = [numeric(left), numeric(right)]
  if (a !== undefined && b !== undefined) return calculate(operator, a, b)
  if (operator === '%' && isText(left)) return like(left, percent(left, right))
  failUndefined(left, right)
  if (operator === '+') {
    const sum = joined(left, right)
    if (sum !== undefined) return sum
  }
  if (operator === '*') {
    const product = multiplied(left, right) ?? multiplied(right, left)
    if (product !== undefined) return product
  }
  throw typeError(`unsupported operand type(s) for ${NAMES[operator] ?? operator}: '${typeName(left)}' and '${typeName(right)}'`)
}

function joined(left: Value, right: Value): Value | undefined {
  if (typeof left === 'string' && typeof right === 'string') {
    requireUnits(left.length + right.length)
    return left + right
  }
  if (isText(left)) {
    if (isText(right)) return new Markup(escapeHtml(left).text + escapeHtml(right).text)
    throw typeError(`can only concatenate str (not "${typeName(right)}") to str`)
  }
  if (Array.isArray(left)) {
    if (!Array.isArray(right)) throw typeError(`can only concatenate list (not "${typeName(right)}") to list`)
    requireItems(left.length + right.length)
    return [...left, ...right]
  }
  if (left instanceof Tuple && right instanceof Tuple) return new Tuple([...left.items, ...right.items])
  return undefined
}

function multiplied(sequence: Value, times: Value): Value | undefined {
  if (!isText(sequence) && !Array.isArray(sequence) && !(sequence instanceof Tuple)) return undefined
  const many = Math.max(0, indexOf(times, `can't multiply sequence by non-int of type '${typeName(times)}'`))
  if (isText(sequence)) return like(sequence, repeat(plain(sequence), many))
  const items = sequence instanceof Tuple ? sequence.items : sequence
  if (items.length > 0) requireItems(items.length * many)
  const all: Value[] = []
  if (items.length > 0) for (let i = 0; i < many; i++) all.push(...items)
  return sequence instanceof Tuple ? new Tuple(all) : all
}

/** -value and +value */
export function unary(operator: '-' | '+', value: Value): Value {
  const number = numeric(value)
  if (number === undefined) {
    failUndefined(value)
    throw typeError(`bad operand type for unary ${operator}: '${typeName(value)}'`)
  }
  if (operator === '+') return number
  return number instanceof Float ? new Float(-number.value) : calculate('-', 0, number)
}

/** container[key] as Python has it. Throws TypeError, KeyError, IndexError. */
export function subscript(container: Value, key: Value): Value {
  if (container instanceof Dict) {
    const value = container.get(key)
    if (value === undefined) throw new JinjaError('KeyError', 'no such key')
    return value
  }
  if (container instanceof Undefined) throw container.fail()
  const name = isText(container) ? 'string' : typeName(container)
  if (isText(container) || Array.isArray(container) || container instanceof Tuple || container instanceof Range) {
    const index = indexOf(key, `${name} indices must be integers, not '${typeName(key)}'`)
    const item = at(container, index)
    if (item === undefined) throw new JinjaError('IndexError', `${name} index out of range`)
    return item
  }
  throw typeError(`'${name}' object is not subscriptable`)
}

function at(container: string | Markup | Value[] | Tuple | Range, index: number): Value | undefined {
  if (Array.isArray(container)) return container.at(index)
  if (container instanceof Tuple) return container.items.at(index)
  if (container instanceof Range) {
    const place = index < 0 ? container.length + index : index
    return place >= 0 && place < container.length ? container.start + place * container.step : undefined
  }
  const text = plain(container)
  const char = hasPairs(text) ? Array.from(text).at(index) : text.at(index)
  return char === undefined ? undefined : like(container, char)
}

/** container[start:stop:step]; null where one is left out. */
export function sliced(container: Value, start: Value, stop: Value, step: Value): Value {
  failUndefined(container)
  const bound = (value: Value) =>
    value === null ? undefined : indexOf(value, 'slice indices must be integers or None or have an __index__ method')
  const [from, to, by] = [bound(start), bound(stop), bound(step) ?? 1]
  if (by === 0) throw valueError('slice step cannot be zero')
  if (isText(container)) {
    const text = plain(container)
    if (by === 1 && !hasPairs(text)) return like(container, text.slice(...bounds(text.length, from, to)))
    return like(container, picked(Array.from(text), from, to, by).join(''))
  }
  if (Array.isArray(container)) return picked(container, from, to, by)
  if (container instanceof Tuple) return new Tuple(picked(container.items, from, to, by))
  if (container instanceof Range) {
    const [first, end] = stepBounds(container.length, from, to, by)
    const { start: base, step: width } = container
    return new Range(base + first * width, base + end * width, width * by)
  }
  throw typeError(`'${typeName(container)}' object is not subscriptable`)
}

function picked<T>(items: readonly T[], start: number | undefined, stop: number | undefined, step: number): T[] {
  if (step === 1) return items.slice(...bounds(items.length, start, stop))
  const [from, to] = stepBounds(items.length, start, stop, step)
  const all: T[] = []
  for (let i = from; step > 0 ? i < to : i > to; i += step) all.push(items[i])
  return all
}

function stepBounds(length: number, start: number | undefined, stop: number | undefined, step: number): [number, number] {
  if (step > 0) return bounds(length, start, stop)
  const clamp = (index: number) => (index < 0 ? Math.max(-1, length + index) : Math.min(index, length - 1))
  return [start === undefined ? length - 1 : clamp(start), stop === undefined ? -1 : clamp(stop)]
}
