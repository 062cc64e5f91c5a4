/** Values of keywords as they must be. All throw ConstraintError, whose place is `at`. */
import { ConstraintError } from '../ebnf.ts'
import { type Schema, TYPES } from './keywords.ts'

const odd = (at: string, what: string) => new ConstraintError(at, `it must be ${what}`)

/** A place within another. */
export const within = (at: string, keyword: string | number): string => (at === '' ? String(keyword) : `${at}.${keyword}`)

/** An error of `work` is one at `at`, and what it names further on. */
export function inside<T>(at: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (!(error instanceof ConstraintError)) throw error
    throw new ConstraintError(error.at === '' ? at : within(at, error.at), error.message)
  }
}

/** An error of `work` that names no place is one at `at`. */
export function placed<T>(at: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    if (error instanceof ConstraintError && error.at === '') throw new ConstraintError(at, error.message)
    throw error
  }
}

export function schemaAt(value: unknown, at: string): Schema | boolean {
  if (typeof value === 'boolean') return value
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Schema
  throw odd(at, 'a schema: an object, true or false')
}

export function schemasAt(value: unknown, at: string): unknown[] {
  if (Array.isArray(value) && value.length > 0) return value
  throw odd(at, 'a list of schemas, and hold one')
}

export function named(value: unknown, at: string): [name: string, schema: unknown][] {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return Object.entries(value)
  throw odd(at, 'an object of schemas')
}

export function namesAt(value: unknown, at: string): string[] {
  if (Array.isArray(value) && value.every((name) => typeof name === 'string')) return value
  throw odd(at, 'a list of names')
}

export function countAt(value: unknown, at: string): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number
  throw odd(at, 'a whole number of 0 or more')
}

export function numberAt(value: unknown, at: string): number {
  if (typeof value === 'number') return value
  throw odd(at, 'a number')
}

export function stepAt(value: unknown, at: string): number {
  if (typeof value === 'number' && value > 0 && Number.isFinite(value)) return value
  throw odd(at, 'a number above 0')
}

export function stringAt(value: unknown, at: string): string {
  if (typeof value === 'string') return value
  throw odd(at, 'a string')
}

export function valuesAt(value: unknown, at: string): unknown[] {
  if (Array.isArray(value) && value.length > 0) return value
  throw odd(at, 'a list of values, and hold one')
}

export function typesAt(value: unknown, at: string): string[] {
  const types = Array.isArray(value) ? value : [value]
  if (types.length > 0 && types.every((type) => TYPES.includes(type))) return types
  throw odd(at, `${TYPES.join(', ')}, or a list of these`)
}

/** How many items a contains must find. */
export function containedCounts(schema: Schema, at: string): { least: number; most: number | undefined } {
  const { minContains, maxContains } = schema
  return {
    least: minContains === undefined ? 1 : countAt(minContains, within(at, 'minContains')),
    most: maxContains === undefined ? undefined : countAt(maxContains, within(at, 'maxContains')),
  }
}
