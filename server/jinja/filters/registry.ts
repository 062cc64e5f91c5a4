/** How filters and tests are said. */
import { bind, type Given, parameters } from '../arguments.ts'
import { getitem } from '../attributes.ts'
import { JinjaError } from '../errors.ts'
import { isText, type Keywords, plain, type Value } from '../values.ts'

/** What filters that call others need. Both throw TemplateRuntimeError for a name that there is not. */
export interface Named {
  filter(name: string): Filter
  test(name: string): Test
}

export type Filter = (args: Value[], keywords: Keywords, named: Named) => Value
export type Test = (args: Value[], keywords: Keywords) => boolean

/** A filter with parameters, the first of which is what stands before the `|`. */
export function filter(signature: string, apply: (given: Given, named: Named) => Value): [string, Filter] {
  const [name, all] = parts(signature)
  return [name, (args, keywords, named) => apply(bind(name, all, args, keywords), named)]
}

export function test(signature: string, apply: (given: Given) => boolean): [string, Test] {
  const [name, all] = parts(signature)
  return [name, (args, keywords) => apply(bind(name, all, args, keywords))]
}

function parts(signature: string): [string, ReturnType<typeof parameters>] {
  const [, name, list] = /^([^(]+)\((.*)\)$/.exec(signature) as RegExpExecArray
  return [name, parameters(list)]
}

/** Follows `a.b.0` into a value. */
export function attributeGetter(attribute: Value | undefined, otherwise?: Value): (item: Value) => Value {
  const path = pathOf(attribute ?? null)
  return (item) => {
    let value = item
    for (const part of path) {
      value = getitem(value, part)
      if (otherwise !== undefined && otherwise !== null && isUndefined(value)) value = otherwise
    }
    return value
  }
}

/** The same for several paths with commas between them. */
export function attributeGetters(attribute: Value | undefined): (item: Value) => Value[] {
  const paths = isText(attribute) ? plain(attribute).split(',') : [attribute ?? null]
  const getters = paths.map((path) => attributeGetter(path))
  return (item) => getters.map((getter) => getter(item))
}

function pathOf(attribute: Value): Value[] {
  if (attribute === null) return []
  if (!isText(attribute)) return [attribute]
  return plain(attribute)
    .split('.')
    .map((part) => (/^\p{Nd}+$/u.test(part) ? Number(part) : part))
}

const isUndefined = (value: Value) => typeof value === 'object' && value !== null && 'type' in value && value.type === 'Undefined'

/** Texts compare without their case. */
export const ignoreCase = (value: Value): Value => (isText(value) ? plain(value).toLowerCase() : value)

export const argumentError = (message: string) => new JinjaError('FilterArgumentError', message)
