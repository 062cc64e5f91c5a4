/** A constraint as JSON text, by which it is known and sent to other threads. */
import { ApiError } from '../errors.ts'
import type { Constraint } from './constraint.ts'

/** UTF-16 units of a constraint as JSON. */
export const MOST_TEXT = 512 << 10

/** Levels. A grammar may have fewer; up to so many JSON is written down on any stack that Node has. */
const MOST_DEPTH = 1000

const tooLong = (field: string) =>
  new ApiError('invalid_request', `${field} is too long; at most ${MOST_TEXT} characters of JSON are supported`, field)

/** Throws ApiError for one that is too large: told in less time than writing it down would take. */
export function textOf(constraint: Constraint, field: string): string {
  check(constraint, field)
  const text = JSON.stringify(constraint)
  if (text.length > MOST_TEXT) throw tooLong(field)
  return text
}

/** Throws ApiError for a text of JSON that is too large to be read. */
export function checkLength(text: string, field: string): void {
  if (text.length > MOST_TEXT) throw tooLong(field)
}

/** Counts what a value has at the least: a text its characters, anything else one, each with a mark beside it. Also how deep it is: writing it down may need a stack as deep. */
function check(constraint: Constraint, field: string): void {
  const open: object[] = [constraint]
  const depths = [0]
  let count = 0
  let depth = 0
  const add = (value: unknown) => {
    count += typeof value === 'string' ? value.length + 3 : 2
    if (count > MOST_TEXT) throw tooLong(field)
    if (typeof value === 'number' && !Number.isFinite(value))
      throw new ApiError('invalid_request', `${field} has a number that is too large to be known exactly`, field)
    if (typeof value !== 'object' || value === null) return
    if (depth === MOST_DEPTH)
      throw new ApiError('invalid_request', `${field} is nested too deeply; at most ${MOST_DEPTH} levels are read`, field)
    open.push(value)
    depths.push(depth + 1)
  }
  for (let value = open.pop(); value; value = open.pop()) {
    depth = depths.pop() as number
    if (Array.isArray(value)) for (const one of value) add(one)
    else
      for (const name of Object.keys(value)) {
        count += name.length + 3
        add((value as Record<string, unknown>)[name])
      }
  }
}
