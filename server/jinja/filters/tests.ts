/** Jinja2's tests: what stands after `is`. */
import { numeric } from '../numbers.ts'
import { binary, contains, equal, ordered } from '../operators.ts'
import { str } from '../represent.ts'
import { isLower, isUpper } from '../text.ts'
import {
  Callable,
  Dict,
  Float,
  Iter,
  isInteger,
  isText,
  iterate,
  lengthOf,
  Markup,
  plain,
  Record,
  Undefined,
  type Value,
  View,
} from '../values.ts'
import { type Test, test } from './registry.ts'

/** A test of two values, by all of its names. */
const comparing = (names: string, compare: (left: Value, right: Value) => boolean) =>
  names.split(' ').map((name) => test(`${name}(a, b, /)`, ([left, right]) => compare(left as Value, right as Value)))

const of = (name: string, is: (value: Value) => boolean) => test(`${name}(value)`, ([value]) => is(value as Value))

/** The same thing, not an equal one: constants are, and so are texts, which Python keeps once where templates and keys name them. */
const same = (left: Value, right: Value) =>
  left === right || (left instanceof Float && right instanceof Float && left.value === right.value)

export function makeTests(filters: ReadonlyMap<string, unknown>): Map<string, Test> {
  const tests: Map<string, Test> = new Map([
    of('odd', (value) => equal(binary('%', value, 2), 1)),
    of('even', (value) => equal(binary('%', value, 2), 0)),
    test('divisibleby(value, num)', ([value, by]) => equal(binary('%', value as Value, by as Value), 0)),
    of('defined', (value) => !(value instanceof Undefined)),
    of('undefined', (value) => value instanceof Undefined),
    of('filter', (value) => isText(value) && filters.has(plain(value))),
    of('test', (value) => isText(value) && tests.has(plain(value))),
    of('none', (value) => value === null),
    of('boolean', (value) => typeof value === 'boolean'),
    of('false', (value) => value === false),
    of('true', (value) => value === true),
    of('integer', isInteger),
    of('float', (value) => value instanceof Float),
    of('number', (value) => numeric(value) !== undefined),
    of('lower', (value) => isLower(str(value))),
    of('upper', (value) => isUpper(str(value))),
    of('string', isText),
    of('mapping', (value) => value instanceof Dict),
    of('sequence', isSequence),
    of('iterable', isIterable),
    of(
      'callable',
      (value) =>
        value instanceof Callable ||
        value instanceof Undefined ||
        (value instanceof Record && value.attribute('__call__') !== undefined),
    ),
    of('escaped', (value) => value instanceof Markup),
    test('sameas(value, other)', ([value, other]) => same(value as Value, other as Value)),
    test('in(value, seq)', ([value, container]) => contains(container as Value, value as Value)),
    ...comparing('== eq equalto', equal),
    ...comparing('!= ne', (left, right) => !equal(left, right)),
    ...comparing('> gt greaterthan', (left, right) => ordered('>', left, right)),
    ...comparing('>= ge', (left, right) => ordered('>=', left, right)),
    ...comparing('< lt lessthan', (left, right) => ordered('<', left, right)),
    ...comparing('<= le', (left, right) => ordered('<=', left, right)),
  ])
  return tests
}

/** It has a length and items by index or key; dict views have none. */
function isSequence(value: Value): boolean {
  if (value instanceof View || value instanceof Iter || value instanceof Record) return false
  // An undefined value has the method, which fails when it is called.
  try {
    lengthOf(value)
    return true
  } catch {
    return false
  }
}

function isIterable(value: Value): boolean {
  if (value instanceof Record) return value.attribute('index') !== undefined
  try {
    iterate(value)
    return true
  } catch {
    return false
  }
}
