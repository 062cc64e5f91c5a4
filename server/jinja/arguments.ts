/** Arguments of functions that are written in TypeScript, as Python hands them over. */
import { typeError } from './errors.ts'
import type { Keywords, Value } from './values.ts'

/** Given arguments in the order of the parameters; undefined: not given. */
export type Given = (Value | undefined)[]

export interface Parameters {
  /** Names in their order; one that ends in `?` may be left out. */
  names: string[]
  required: boolean[]
  /** Of these the first so many can be given by place only. */
  byPlace: number
}

/** `value, width?, first?`; names before a `/` are given by place only. */
export function parameters(signature: string): Parameters {
  const all = signature
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
  const slash = all.indexOf('/')
  const parts = all.filter((part) => part !== '/')
  return {
    names: parts.map((part) => part.replace('?', '')),
    required: parts.map((part) => !part.endsWith('?')),
    byPlace: Math.max(0, slash),
  }
}

/** Throws TypeError, as Python words it. */
export function bind(name: string, { names, required, byPlace }: Parameters, args: readonly Value[], keywords: Keywords): Given {
  if (args.length > names.length)
    throw typeError(
      `${name}() takes ${names.length} positional argument${names.length === 1 ? '' : 's'} but ${args.length} were given`,
    )
  const given: Given = [...args]
  for (const [key, value] of keywords) {
    const place = names.indexOf(key)
    if (place < byPlace) throw typeError(`${name}() got an unexpected keyword argument '${key}'`)
    if (place < args.length) throw typeError(`${name}() got multiple values for argument '${key}'`)
    given[place] = value
  }
  const missing = names.findIndex((_, i) => required[i] && given[i] === undefined)
  if (missing >= 0) throw typeError(`${name}() missing 1 required positional argument: '${names[missing]}'`)
  return given
}
