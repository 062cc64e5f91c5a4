/** Regular sets of texts, as expressions: what regular expressions, numbers between bounds and lengths come to, before they are written as EBNF or made automata. */

import { type Characters, ConstraintError, characters, complement } from '../ebnf.ts'

/** From a state: characters from `low` to `high` lead to `to`. In order; what none of them holds is not taken. */
export interface Edge {
  low: number
  high: number
  to: number
}

/** State 0 is the beginning. From each there is a way to one that accepts, unless it takes nothing. */
export interface Automaton {
  edges: readonly (readonly Edge[])[]
  accepts: readonly boolean[]
}

export type Regular =
  | { kind: 'chars'; set: Characters }
  | { kind: 'seq'; parts: readonly Regular[] }
  /** Without any: no text. */
  | { kind: 'alt'; of: readonly Regular[] }
  /** `most` undefined: any number. */
  | { kind: 'repeat'; what: Regular; least: number; most: number | undefined }
  /** Texts of all of them. */
  | { kind: 'and'; of: readonly Regular[] }
  | { kind: 'not'; what: Regular }
  | { kind: 'automaton'; automaton: Automaton }

export const ALL: Characters = complement([])
export const NOTHING: Regular = { kind: 'alt', of: [] }
export const EMPTY: Regular = { kind: 'seq', parts: [] }
export const ANYTHING: Regular = { kind: 'repeat', what: { kind: 'chars', set: ALL }, least: 0, most: undefined }

export const chars = (set: Characters): Regular => (set.length === 0 ? NOTHING : { kind: 'chars', set })
export const isNothing = (one: Regular): boolean => one.kind === 'alt' && one.of.length === 0
export const isEmpty = (one: Regular): boolean => one.kind === 'seq' && one.parts.length === 0

export function seq(...parts: readonly Regular[]): Regular {
  if (parts.some(isNothing)) return NOTHING
  const all = parts.flatMap((part) => (part.kind === 'seq' ? part.parts : [part]))
  return all.length === 1 ? all[0] : { kind: 'seq', parts: all }
}

export function alt(...of: readonly Regular[]): Regular {
  const all = of.flatMap((one) => (one.kind === 'alt' ? one.of : [one]))
  return all.length === 1 ? all[0] : { kind: 'alt', of: all }
}

export function repeat(what: Regular, least: number, most?: number): Regular {
  if (most === 0) return EMPTY
  if (isNothing(what)) return least === 0 ? EMPTY : NOTHING
  if (isEmpty(what)) return EMPTY
  return least === 1 && most === 1 ? what : { kind: 'repeat', what, least, most }
}

/** A text as it stands. Throws ConstraintError for what no text has. */
export function text(value: string): Regular {
  const parts = [...value].map((char) => {
    const code = char.codePointAt(0) as number
    if (code >= 0xd800 && code <= 0xdfff) throw new ConstraintError('', 'it holds half of a surrogate pair, which no text has')
    return chars([[code, code]])
  })
  return seq(...parts)
}

export const range = (low: string, high = low): Regular =>
  chars(characters([[low.codePointAt(0) as number, high.codePointAt(0) as number]]))

/** Whether it can only be had by an automaton. */
export function needsAutomaton(one: Regular): boolean {
  switch (one.kind) {
    case 'chars':
      return false
    case 'seq':
      return one.parts.some(needsAutomaton)
    case 'alt':
      return one.of.some(needsAutomaton)
    case 'repeat':
      return needsAutomaton(one.what)
    default:
      return true
  }
}
