/** tokenizer.json's pre-tokenizers, as Hugging Face's Rust library applies them: they cut a text into pieces, which the model reads one by one. */
import type { Step } from './definition.ts'
import { byteLevel, escaped, patternOf, WHITE_SPACE } from './patterns.ts'

export interface Piece {
  text: string
  /** It is at the beginning of the whole text. */
  first: boolean
}

export type Cut = (pieces: Piece[]) => Piece[]

/** GPT-2's pattern, which ByteLevel has built in. */
const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
const WORD = '\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}'
const PUNCTUATION = '[\\p{P}!-/:-@\\[-`{-~]'

/** What happens to what a pattern matches. */
const BEHAVIORS = ['Removed', 'Isolated', 'MergedWithPrevious', 'MergedWithNext', 'Contiguous'] as const
type Behavior = (typeof BEHAVIORS)[number]

/** Throws, naming what is wrong. */
export function makePreTokenizer(step: Step): Cut {
  switch (step.type) {
    case 'Sequence': {
      const all = (step.steps as (Step | null)[]).filter((inner) => inner !== null).map(makePreTokenizer)
      return (pieces) => all.reduce((done, cut) => cut(done), pieces)
    }
    case 'Split':
      return splitting(patternOf(step.pattern, 'pre_tokenizer'), behaviorOf(step.behavior), step.invert === true)
    case 'Metaspace':
      return metaspace(step)
    case 'ByteLevel': {
      const split = step.use_regex === false ? undefined : splitting(patternOf({ Regex: GPT2 }, ''), 'Isolated')
      const prefixed =
        step.add_prefix_space === true ? changing(({ text }) => (text.startsWith(' ') ? text : ` ${text}`)) : undefined
      const bytes = changing(({ text }) => byteLevel(text))
      return (pieces) => {
        const begun = prefixed ? prefixed(pieces) : pieces
        return bytes(split ? split(begun) : begun)
      }
    }
    case 'Digits':
      return splitting(/\p{N}/gu, step.individual_digits === true ? 'Isolated' : 'Contiguous')
    case 'Punctuation':
      return splitting(new RegExp(PUNCTUATION, 'gu'), behaviorOf(step.behavior ?? 'Isolated'))
    case 'Whitespace':
      return splitting(new RegExp(`[${WORD}]+|[^${WORD}${WHITE_SPACE}]+`, 'gu'), 'Removed', true)
    case 'WhitespaceSplit':
      return splitting(new RegExp(WHITE_SPACE, 'gu'), 'Removed')
    case 'BertPreTokenizer': {
      const spaces = splitting(new RegExp(WHITE_SPACE, 'gu'), 'Removed')
      const marks = splitting(new RegExp(PUNCTUATION, 'gu'), 'Isolated')
      return (pieces) => marks(spaces(pieces))
    }
    case 'CharDelimiterSplit':
      return splitting(new RegExp(escaped(String(step.delimiter)), 'gu'), 'Removed')
    default:
      return fixedLength(Number(step.length))
  }
}

function behaviorOf(name: unknown): Behavior {
  const behavior = BEHAVIORS.find((known) => known === name)
  if (behavior) return behavior
  throw new Error(`pre_tokenizer: behavior ${JSON.stringify(name)} is not one of ${BEHAVIORS.join(', ')}`)
}

const changing =
  (change: (piece: Piece) => string): Cut =>
  (pieces) =>
    pieces.map((piece) => ({ text: change(piece), first: piece.first }))

function metaspace({ replacement, prepend_scheme: scheme = 'always', split = true }: Step): Cut {
  const mark = String(replacement)
  const marked = changing(({ text, first }) => {
    const spaced = text.replaceAll(' ', mark)
    return (scheme === 'always' || (scheme === 'first' && first)) && !spaced.startsWith(mark) ? mark + spaced : spaced
  })
  if (split === false) return marked
  const cut = splitting(new RegExp(escaped(mark), 'gu'), 'MergedWithNext')
  return (pieces) => cut(marked(pieces))
}

function fixedLength(length: number): Cut {
  if (!(length >= 1)) throw new Error('pre_tokenizer.length must be at least 1')
  return (pieces) =>
    pieces.flatMap(({ text, first }) => {
      const all = Array.from(text)
      return Array.from({ length: Math.ceil(all.length / length) }, (_, i) => ({
        text: all.slice(i * length, (i + 1) * length).join(''),
        first: first && i === 0,
      }))
    })
}

/** `invert`: what lies between the matches is what the behaviour is about. */
function splitting(pattern: RegExp, behavior: Behavior, invert = false): Cut {
  return (pieces) => {
    const all: Piece[] = []
    for (const { text, first } of pieces)
      for (const [start, end] of ranges(text, pattern, behavior, invert))
        if (start < end) all.push({ text: text.slice(start, end), first: first && start === 0 })
    return all
  }
}

type Range = [start: number, end: number]

function ranges(text: string, pattern: RegExp, behavior: Behavior, invert: boolean): Range[] {
  const found = stretches(text, pattern, invert)
  if (behavior === 'MergedWithNext') {
    const mirrored = found.map(({ start, end, match }) => ({ start: -end, end: -start, match })).reverse()
    return merged(mirrored)
      .map(([start, end]): Range => [-end, -start])
      .reverse()
  }
  if (behavior === 'MergedWithPrevious') return merged(found)
  const all: Range[] = []
  let before: boolean | undefined
  for (const { start, end, match } of found) {
    const last = all.at(-1)
    if (behavior === 'Contiguous' && match === before && last) last[1] = end
    else if (behavior !== 'Removed' || !match) all.push([start, end])
    before = match
  }
  return all
}

interface Stretch {
  start: number
  end: number
  match: boolean
}

function stretches(text: string, pattern: RegExp, invert: boolean): Stretch[] {
  const all: Stretch[] = []
  let at = 0
  for (const found of text.matchAll(pattern)) {
    const start = found.index
    const end = start + found[0].length
    if (at < start) all.push({ start: at, end: start, match: invert })
    all.push({ start, end, match: !invert })
    at = end
  }
  if (at < text.length) all.push({ start: at, end: text.length, match: invert })
  return all
}

/** A match goes with what is before it, unless that is a match too. */
function merged(found: readonly Stretch[]): Range[] {
  const all: Range[] = []
  let before = false
  for (const { start, end, match } of found) {
    const last = all.at(-1)
    if (match && !before && last) last[1] = end
    else all.push([start, end])
    before = match
  }
  return all
}
