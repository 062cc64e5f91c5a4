/** Regular expressions (ECMAScript's; \\d, \\w and \\s are ASCII's) to EBNF. What is matched is the whole text, or a text that somewhere holds it. */
import { type AST, RegExpParser } from '@eslint-community/regexpp'
import {
  type Characters,
  ConstraintError,
  characters,
  complement,
  either,
  isWritable,
  literal,
  oneOf,
  repeated,
  sequence,
  without,
} from './ebnf.ts'

/** How characters are written in the text: as they are, or as a JSON string has them. */
export type Writing = 'plain' | 'json'

const single = (code: number): Characters => [[code, code]]
const DIGITS = characters([[48, 57]])
const WORD = characters([...DIGITS, [65, 90], [95, 95], [97, 122]])
const SPACES = characters([[9, 13], ...single(32)])
const LINE_ENDS = characters([...single(10), ...single(13)])
const ANYTHING: Characters = complement([])

/** Characters that a JSON string has only escaped. */
const ESCAPED = characters([[0, 31], ...single(34), ...single(92)])

/** One character of a set; undefined: the set is empty. */
export function character(set: Characters, writing: Writing): string | undefined {
  if (writing === 'plain') return set.length > 0 ? oneOf(set) : undefined
  const plain = without(set, ESCAPED)
  const special: string[] = []
  for (const [low, high] of ESCAPED)
    for (let code = low; code <= high; code++)
      if (set.some(([a, b]) => code >= a && code <= b))
        special.push(literal(JSON.stringify(String.fromCharCode(code)).slice(1, -1)))
  return either([plain.length > 0 ? oneOf(plain) : undefined, ...special])
}

/** Times that a class is repeated with what is escaped of it. */
const MOST_ALTERNATIVES = 16

class Converter {
  private readonly writing: Writing
  /** Not Unicode mode: letters without a meaning may be escaped, and mean something in other languages. */
  private readonly lenient: boolean

  constructor(writing: Writing, lenient: boolean) {
    this.writing = writing
    this.lenient = lenient
  }

  /** `within`: the text may have anything before and behind it, but for anchors. */
  pattern(alternatives: readonly AST.Alternative[], within: boolean): string | undefined {
    const anything = repeated(character(ANYTHING, this.writing) as string, 0)
    return either(
      alternatives.map(({ elements }) => {
        let from = 0
        let to = elements.length
        while (from < to && isAnchor(elements[from], 'start')) from++
        while (to > from && isAnchor(elements[to - 1], 'end')) to--
        const middle = elements.slice(from, to).map((element) => this.element(element))
        const parts = [within && from === 0 ? anything : '', ...middle, within && to === elements.length ? anything : '']
        return sequence(parts.filter((part) => part !== ''))
      }),
    )
  }

  private alternatives(alternatives: readonly AST.Alternative[]): string | undefined {
    const all = alternatives.map(({ elements }) => sequence(elements.map((element) => this.element(element))))
    const one = either(all)
    return one === undefined || one.startsWith('(') ? one : `(${one})`
  }

  private element(element: AST.Element): string | undefined {
    switch (element.type) {
      case 'Character':
        return this.characterOf(element)
      case 'CharacterSet':
      case 'CharacterClass':
        return this.oneOf(element)
      case 'Group':
        if (element.modifiers) throw refused(element, 'flags within a group')
        return this.alternatives(element.alternatives)
      case 'CapturingGroup':
        return this.alternatives(element.alternatives)
      case 'Quantifier': {
        const what = this.plainly(element) ?? this.element(element.element)
        const most = Number.isFinite(element.max) ? element.max : undefined
        if (what === undefined) return element.min === 0 ? '""' : undefined
        return repeated(what, element.min, most)
      }
      case 'Backreference':
        throw refused(element, 'a back reference')
      case 'Assertion':
        if (element.kind === 'lookahead' || element.kind === 'lookbehind') throw refused(element, `a ${element.kind}`)
        if (element.kind === 'word') throw refused(element, 'a word boundary')
        throw refused(element, 'an anchor other than at the ends')
      default:
        throw refused(element, element.type)
    }
  }

  /** Many characters of a class, in a JSON string: without those that are escaped there, since alternatives that are repeated take XGrammar seconds (json/strings.ts). */
  private plainly({ element, max }: AST.Quantifier): string | undefined {
    if (this.writing !== 'json' || !Number.isFinite(max) || max <= MOST_ALTERNATIVES) return undefined
    if (element.type !== 'CharacterSet' && element.type !== 'CharacterClass') return undefined
    const set = without(this.set(element), ESCAPED)
    return isWritable(set) ? character(set, 'plain') : undefined
  }

  private oneOf(element: AST.CharacterSet | AST.CharacterClass): string | undefined {
    const set = this.set(element)
    if (!isWritable(set))
      throw refused(element, 'a class of more than 512 characters beyond ASCII, unless all of them are in it,')
    return character(set, this.writing)
  }

  private characterOf(node: AST.Character): string | undefined {
    if (this.lenient && /^\\[A-Za-z]$/.test(node.raw) && node.raw.charCodeAt(1) === node.value)
      throw refused(node, 'an escape that JavaScript does not know')
    return character(single(node.value), this.writing)
  }

  private set(node: AST.CharacterSet | AST.CharacterClass | AST.CharacterClassElement): Characters {
    switch (node.type) {
      case 'Character':
        this.characterOf(node)
        return single(node.value)
      case 'CharacterClassRange':
        return characters([[node.min.value, node.max.value]])
      case 'CharacterClass': {
        const all = characters(node.elements.flatMap((element) => [...this.set(element as AST.CharacterClassElement)]))
        return node.negate ? complement(all) : all
      }
      case 'CharacterSet': {
        const { kind } = node
        if (kind === 'any') return complement(LINE_ENDS)
        if (kind === 'property') throw refused(node, 'a Unicode property')
        const set = { digit: DIGITS, word: WORD, space: SPACES }[kind]
        return node.negate ? complement(set) : set
      }
      default:
        throw refused(node, node.type)
    }
  }
}

const isAnchor = (element: AST.Element, kind: 'start' | 'end') => element.type === 'Assertion' && element.kind === kind

/** Characters of a part of a pattern that a message repeats. */
const SHOWN = 64

function refused({ raw, start }: AST.Node, what: string): ConstraintError {
  const part = raw.length > SHOWN ? `${raw.slice(0, SHOWN)}…` : raw
  return new ConstraintError('', `${what} (${part}, at ${start}) is not supported in a regular expression that text is made by`)
}

function parsed(source: string): { pattern: AST.Pattern; lenient: boolean } {
  const parser = new RegExpParser()
  try {
    return { pattern: parser.parsePattern(source, 0, source.length, { unicode: true }), lenient: false }
  } catch (strict) {
    if (strict instanceof RangeError) throw strict
    try {
      return { pattern: parser.parsePattern(source, 0, source.length, { unicode: false }), lenient: true }
    } catch {
      const { message } = strict as Error
      throw new ConstraintError('', `it is no regular expression: ${message.replace(/^Invalid regular expression: .*: /s, '')}`)
    }
  }
}

/** EBNF of the texts that a pattern matches; with `within`, of those that have a match somewhere. Throws ConstraintError. */
export function regexToEbnf(source: string, writing: Writing, within: boolean): string {
  const { pattern, lenient } = parsed(source)
  const made = new Converter(writing, lenient).pattern(pattern.alternatives, within)
  if (made === undefined) throw new ConstraintError('', 'no text matches it')
  return made
}
