/** Regular expressions (ECMAScript's) as regular sets of texts. What is matched is the whole text, or a text that somewhere holds it. */
import { type AST, RegExpParser } from '@eslint-community/regexpp'
import { type Characters, ConstraintError, characters, complement } from '../ebnf.ts'
import { ofProperty } from './properties.ts'
import { ANYTHING, alt, chars, EMPTY, type Regular, repeat, seq } from './regular.ts'

const single = (code: number): Characters => [[code, code]]
const DIGITS = characters([[48, 57]])
const WORD = characters([...DIGITS, [65, 90], [95, 95], [97, 122]])
const SPACES = characters([
  [9, 13],
  ...[0x20, 0xa0, 0x1680, 0x202f, 0x205f, 0x3000, 0xfeff].map((code) => [code, code] as const),
  [0x2000, 0x200a],
  [0x2028, 0x2029],
])
const LINE_ENDS = characters([...single(10), ...single(13), [0x2028, 0x2029]])

class Reader {
  /** Not Unicode mode: letters without a meaning may be escaped, and mean something in other languages. */
  private readonly lenient: boolean
  /** The whole text may have anything before and behind what is matched, but for anchors. */
  private readonly within: boolean

  constructor(lenient: boolean, within: boolean) {
    this.lenient = lenient
    this.within = within
  }

  whole(alternatives: readonly AST.Alternative[]): Regular {
    return alt(
      ...alternatives.map(({ elements }) => {
        let from = 0
        while (from < elements.length && isAnchor(elements[from], 'start')) from++
        const rest = this.rest(elements.slice(from))
        return this.within && from === 0 ? seq(ANYTHING, rest) : rest
      }),
    )
  }

  /** From an element to the text's end: what looks ahead sees all of it. */
  private rest(elements: readonly AST.Element[]): Regular {
    const at = elements.findIndex((one) => one.type === 'Assertion')
    const before = (at < 0 ? elements : elements.slice(0, at)).map((one) => this.element(one))
    if (at < 0) return seq(...before, this.within ? ANYTHING : EMPTY)
    const assertion = elements[at] as AST.Assertion
    const behind = elements.slice(at + 1)
    if (isAnchor(assertion, 'end')) {
      if (behind.every((one) => isAnchor(one, 'end'))) return seq(...before)
      throw refused(assertion, 'an anchor other than at the ends')
    }
    if (assertion.kind !== 'lookahead') throw refusedAssertion(assertion)
    const follows = this.rest(behind)
    const seen = alt(...assertion.alternatives.map(({ elements }) => this.seen(elements)))
    return seq(...before, { kind: 'and', of: [follows, assertion.negate ? { kind: 'not', what: seen } : seen] })
  }

  /** What a look-ahead finds, and anything behind it. */
  private seen(elements: readonly AST.Element[]): Regular {
    const end = elements.findIndex((one) => isAnchor(one, 'end'))
    if (end < 0) return seq(...elements.map((one) => this.element(one)), ANYTHING)
    const behind = elements.slice(end).find((one) => !isAnchor(one, 'end'))
    if (behind) throw refused(elements[end], 'an anchor other than at the ends')
    return seq(...elements.slice(0, end).map((one) => this.element(one)))
  }

  private alternatives(alternatives: readonly AST.Alternative[]): Regular {
    return alt(...alternatives.map(({ elements }) => seq(...elements.map((one) => this.element(one)))))
  }

  private element(element: AST.Element): Regular {
    switch (element.type) {
      case 'Character':
      case 'CharacterSet':
      case 'CharacterClass':
        return chars(this.set(element))
      case 'Group':
        if (element.modifiers) throw refused(element, 'flags within a group')
        return this.alternatives(element.alternatives)
      case 'CapturingGroup':
        return this.alternatives(element.alternatives)
      case 'Quantifier':
        return repeat(this.element(element.element), element.min, Number.isFinite(element.max) ? element.max : undefined)
      case 'Backreference':
        throw refused(element, 'a back reference')
      case 'Assertion':
        throw refusedAssertion(element)
      default:
        throw refused(element, element.type)
    }
  }

  private set(node: AST.CharacterSet | AST.CharacterClass | AST.CharacterClassElement): Characters {
    switch (node.type) {
      case 'Character':
        if (this.lenient && /^\\[A-Za-z]$/.test(node.raw) && node.raw.charCodeAt(1) === node.value)
          throw refused(node, 'an escape that JavaScript does not know')
        if (node.value >= 0xd800 && node.value <= 0xdfff) throw refused(node, 'half of a surrogate pair')
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
        if (kind === 'property') return ofProperty(node.raw)
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

function refusedAssertion(node: AST.Assertion): ConstraintError {
  if (node.kind === 'lookahead') return refused(node, 'a lookahead within a group, or within another,')
  if (node.kind === 'lookbehind') return refused(node, 'a lookbehind')
  return refused(node, node.kind === 'word' ? 'a word boundary' : 'an anchor other than at the ends')
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

/** Texts that a pattern matches; with `within`, those that have a match somewhere. Throws ConstraintError. */
export function regularOf(source: string, within: boolean): Regular {
  const { pattern, lenient } = parsed(source)
  return new Reader(lenient, within).whole(pattern.alternatives)
}
