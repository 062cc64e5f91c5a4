/** Jinja2's filters of sequences and mappings. */
import { call, getattr } from '../attributes.ts'
import { isKind, JinjaError, typeError } from '../errors.ts'
import { indexOf } from '../numbers.ts'
import { binary, compare, equal } from '../operators.ts'
import { str } from '../represent.ts'
import {
  Dict,
  Iter,
  isText,
  iterate,
  KeySet,
  lengthOf,
  plain,
  Range,
  requireItems,
  requireUnits,
  Tuple,
  truth,
  typeName,
  Undefined,
  type Value,
  View,
} from '../values.ts'
import { argumentError, attributeGetter, attributeGetters, type Filter, filter, ignoreCase, type Named } from './registry.ts'

const flag = (value: Value | undefined) => value !== undefined && truth(value)
const listOf = (value: Value | undefined): Value[] => [...iterate(value as Value)]

/** Stable; throws TypeError for what has no order. */
function sorted(values: Value[], key: (value: Value) => Value, reverse: boolean): Value[] {
  const keyed = values.map((value) => ({ value, key: key(value) }))
  keyed.sort((a, b) => (reverse ? compare(b.key, a.key) : compare(a.key, b.key)) || 0)
  return keyed.map(({ value }) => value)
}

function extreme(name: string, largest: boolean): [string, Filter] {
  return filter(`${name}(value, case_sensitive?, attribute?)`, ([value, cased, attribute]) => {
    const get = attributeGetter(attribute)
    const key = flag(cased) ? get : (item: Value) => ignoreCase(get(item))
    let best: { item: Value; key: Value } | undefined
    for (const item of iterate(value as Value)) {
      const candidate = { item, key: key(item) }
      if (!best || (largest ? compare(candidate.key, best.key, '>') > 0 : compare(candidate.key, best.key) < 0)) best = candidate
    }
    return best ? best.item : new Undefined(() => 'No aggregated item, sequence was empty.')
  })
}

function* grouped(values: Value[], size: number): Generator<Value[]> {
  for (let at = 0; at < values.length; at += size) yield values.slice(at, at + size)
}

function* slices(values: Value[], many: number, fill: Value): Generator<Value> {
  const each = Math.floor(values.length / many)
  const longer = values.length % many
  let at = 0
  for (let i = 0; i < many; i++) {
    const size = each + (i < longer ? 1 : 0)
    const slice = values.slice(at, at + size)
    if (fill !== null && i >= longer) slice.push(fill)
    yield slice
    at += size
  }
}

/** select, reject and their like on attributes: nothing of what is false, so of none and of what is undefined. */
function selection(name: string, keep: boolean, byAttribute: boolean): [string, Filter] {
  return [
    name,
    ([value, ...args], keywords, named) =>
      new Iter(
        (function* () {
          if (value === undefined) throw typeError(`${name}() missing 1 required positional argument: 'value'`)
          if (!truth(value)) return
          if (byAttribute && args.length === 0) throw argumentError('Missing parameter for attribute name')
          const get = byAttribute ? attributeGetter(args[0]) : (item: Value) => item
          const [test, ...rest] = byAttribute ? args.slice(1) : args
          const passes = test === undefined ? truth : (item: Value) => named.test(nameOf(test))([item, ...rest], keywords)
          for (const item of iterate(value)) if (passes(get(item)) === keep) yield item
        })(),
      ),
  ]
}

const nameOf = (name: Value) => (isText(name) ? plain(name) : str(name))

const map: Filter = ([value, ...args], keywords, named) =>
  new Iter(
    (function* () {
      if (value === undefined) throw typeError("map() missing 1 required positional argument: 'value'")
      if (!truth(value)) return
      const apply = mapping(args, keywords, named)
      for (const item of iterate(value)) yield apply(item)
    })(),
  )

function mapping(args: Value[], keywords: Map<string, Value>, named: Named): (item: Value) => Value {
  if (args.length === 0 && keywords.has('attribute')) {
    const odd = [...keywords.keys()].find((key) => key !== 'attribute' && key !== 'default')
    if (odd !== undefined) throw argumentError(`Unexpected keyword argument '${odd}'`)
    return attributeGetter(keywords.get('attribute'), keywords.get('default'))
  }
  const [name, ...rest] = args
  if (name === undefined) throw argumentError('map requires a filter argument')
  const apply = named.filter(nameOf(name))
  return (item) => apply([item, ...rest], keywords, named)
}

function reversed(value: Value): Iterable<Value> {
  if (Array.isArray(value)) return value.toReversed()
  if (value instanceof Tuple) return value.items.toReversed()
  if (value instanceof Dict || value instanceof View || value instanceof Range) return [...iterate(value)].reverse()
  throw typeError(`'${typeName(value)}' object is not reversible`)
}

const reverse = filter('reverse(value)', ([value]) => {
  if (isText(value)) return Array.from(plain(value)).reverse().join('')
  if (value instanceof Undefined) return new Iter([], 'reversed')
  try {
    return new Iter(reversed(value as Value), Array.isArray(value) ? 'list_reverseiterator' : 'reversed')
  } catch (error) {
    if (!isKind(error, 'TypeError')) throw error
    try {
      return listOf(value).reverse()
    } catch {
      throw argumentError('argument must be iterable')
    }
  }
})

const last = filter('last(seq)', ([value]) => {
  const all = isText(value) ? Array.from(plain(value)) : value instanceof Undefined ? [] : [...reversed(value as Value)].reverse()
  return all.length > 0 ? all[all.length - 1] : new Undefined(() => 'No last item, sequence was empty.')
})

const join = filter('join(value, d?, attribute?)', ([value, by, attribute]) => {
  const get = attribute === undefined || attribute === null ? undefined : attributeGetter(attribute)
  const parts: string[] = []
  for (const item of iterate(value as Value)) parts.push(str(get ? get(item) : item))
  const separator = by === undefined ? '' : str(by)
  requireUnits(parts.reduce((sum, part) => sum + part.length + separator.length, 0))
  return parts.join(separator)
})

const groupby = filter('groupby(value, attribute, default?, case_sensitive?)', ([value, attribute, otherwise, cased]) => {
  const get = attributeGetter(attribute, otherwise)
  const key = flag(cased) ? get : (item: Value) => ignoreCase(get(item))
  const groups: { key: Value; items: Value[] }[] = []
  for (const item of sorted(listOf(value), key, false)) {
    const group = groups.at(-1)
    if (group && equal(group.key, key(item))) group.items.push(item)
    else groups.push({ key: key(item), items: [item] })
  }
  return groups.map(({ items }) => new Tuple([get(items[0]), items], ['grouper', 'list']))
})

export const SEQUENCE_FILTERS: [string, Filter][] = [
  filter('list(value)', ([value]) => listOf(value)),
  ...(['length', 'count'] as const).map((name) => filter(`${name}(obj, /)`, ([value]) => lengthOf(value as Value))),
  filter('first(seq)', ([value]) => {
    for (const item of iterate(value as Value)) return item
    return new Undefined(() => 'No first item, sequence was empty.')
  }),
  last,
  join,
  reverse,
  ['map', map],
  selection('select', true, false),
  selection('reject', false, false),
  selection('selectattr', true, true),
  selection('rejectattr', false, true),
  extreme('min', false),
  extreme('max', true),
  groupby,
  filter('sort(value, reverse?, case_sensitive?, attribute?)', ([value, backwards, cased, attribute]) => {
    const get = attributeGetters(attribute)
    const key = (item: Value) => (flag(cased) ? get(item) : get(item).map(ignoreCase))
    return sorted(listOf(value), key, flag(backwards))
  }),
  filter('unique(value, case_sensitive?, attribute?)', ([value, cased, attribute]) => {
    const get = attributeGetter(attribute)
    return new Iter(
      (function* () {
        const seen = new KeySet()
        for (const item of iterate(value as Value)) if (seen.add(flag(cased) ? get(item) : ignoreCase(get(item)))) yield item
      })(),
    )
  }),
  filter('sum(iterable, attribute?, start?)', ([value, attribute, start]) => {
    const get = attribute === undefined || attribute === null ? undefined : attributeGetter(attribute)
    let sum: Value = start === undefined ? 0 : start
    if (isText(sum)) throw typeError("sum() can't sum strings [use ''.join(seq) instead]")
    for (const item of iterate(value as Value)) sum = binary('+', sum, get ? get(item) : item)
    return sum
  }),
  filter('batch(value, linecount, fill_with?)', ([value, size, fill]) => {
    const many = indexOf(size as Value)
    return new Iter(
      (function* () {
        for (const batch of grouped(listOf(value), Math.max(1, many))) {
          if (fill !== undefined && fill !== null) {
            requireItems(many)
            while (batch.length < many) batch.push(fill)
          }
          yield batch
        }
      })(),
    )
  }),
  filter('slice(value, slices, fill_with?)', ([value, many, fill]) => {
    const count = indexOf(many as Value)
    if (count === 0) throw new JinjaError('ZeroDivisionError', 'integer division or modulo by zero')
    requireItems(count)
    return new Iter(slices(listOf(value), count, fill ?? null))
  }),
  filter('items(value)', ([value]) => {
    if (!(value instanceof Undefined) && !(value instanceof Dict)) {
      const wrong = () => typeError('Can only get item pairs from a mapping.')
      return new Iter(
        // biome-ignore lint/correctness/useYield: Python's generator fails when it is gone through, not when it is made
        (function* (): Generator<Value> {
          throw wrong()
        })(),
      )
    }
    return new Iter(value instanceof Dict ? new View(value, 'dict_items') : [])
  }),
  filter('dictsort(value, case_sensitive?, by?, reverse?)', ([value, cased, by, backwards]) => {
    const side = by === undefined || equal(by, 'key') ? 0 : equal(by, 'value') ? 1 : undefined
    if (side === undefined) throw argumentError('You can only sort by either "key" or "value"')
    const items = call(getattr(value as Value, 'items'), [], new Map())
    const key = (pair: Value) => {
      const part = (pair as Tuple).items[side]
      return flag(cased) ? part : ignoreCase(part)
    }
    return sorted(listOf(items), key, flag(backwards))
  }),
  // Python's choice is of any of them; the first one is one.
  filter('random(seq)', ([value]) => {
    for (const item of iterate(value as Value)) return item
    return new Undefined(() => 'No random item, sequence was empty.')
  }),
]
