/** Expressions as functions over the variables. */
import { call, getattr, getitem } from './attributes.ts'
import { typeError } from './errors.ts'
import type { Filter as FilterFunction, Named } from './filters/registry.ts'
import { type Evaluate, type Frame, type Locals, lookup } from './frame.ts'
import { syntaxError } from './lexer.ts'
import type { Arguments, Comparison, Expression, Filter, Slice } from './nodes.ts'
import { binary, contains, equal, ordered, sliced, unary } from './operators.ts'
import { str } from './represent.ts'
import { Dict, isText, iterate, type Keywords, plain, requireUnits, Tuple, truth, Undefined, type Value } from './values.ts'

/** The filters and tests that there are. */
export interface Library extends Named {
  hasFilter(name: string): boolean
  hasTest(name: string): boolean
}

const NO_KEYWORDS: Keywords = new Map()

type Given = (locals: Locals) => { args: Value[]; keywords: Keywords }

export class ExpressionCompiler {
  protected readonly library: Library

  constructor(library: Library) {
    this.library = library
  }

  expression(node: Expression, frame: Frame): Evaluate {
    switch (node.type) {
      case 'Name':
        return lookup(frame, node.name)
      case 'Const': {
        const { value } = node
        return () => value
      }
      case 'Tuple':
      case 'List': {
        const items = node.items.map((item) => this.expression(item, frame))
        if (node.type === 'List') return (locals) => items.map((item) => item(locals))
        return (locals) => new Tuple(items.map((item) => item(locals)))
      }
      case 'Dict': {
        const pairs = node.items.map(({ key, value }) => [this.expression(key, frame), this.expression(value, frame)] as const)
        return (locals) => Dict.of(pairs.map(([key, value]) => [key(locals), value(locals)] as const))
      }
      case 'CondExpr':
        return this.conditional(node, { ...frame, soft: true })
      case 'Filter':
        return this.filter(node, frame)
      case 'Test':
        return this.test(node, frame)
      case 'Call': {
        const callee = this.expression(node.node, frame)
        const given = this.arguments(node, frame)
        return (locals) => {
          const called = callee(locals)
          const { args, keywords } = given(locals)
          return call(called, args, keywords)
        }
      }
      case 'Getattr': {
        const value = this.expression(node.node, frame)
        const { attr } = node
        return (locals) => getattr(value(locals), attr)
      }
      case 'Getitem':
        return this.item(this.expression(node.node, frame), node.arg, frame)
      case 'Binary': {
        const [left, right] = [this.expression(node.left, frame), this.expression(node.right, frame)]
        const { operator } = node
        return (locals) => binary(operator, left(locals), right(locals))
      }
      case 'Logic': {
        const [left, right] = [this.expression(node.left, frame), this.expression(node.right, frame)]
        const ends = node.operator === 'or'
        return (locals) => {
          const value = left(locals)
          return truth(value) === ends ? value : right(locals)
        }
      }
      case 'Unary': {
        const value = this.expression(node.node, frame)
        const { operator } = node
        if (operator === 'not') return (locals) => !truth(value(locals))
        return (locals) => unary(operator, value(locals))
      }
      case 'Compare':
        return this.comparison(node, frame)
      case 'Concat': {
        const parts = node.nodes.map((part) => this.expression(part, frame))
        return (locals) => {
          let text = ''
          for (const part of parts) text += str(part(locals))
          requireUnits(text.length)
          return text
        }
      }
    }
  }

  protected arguments({ args, keywords, spread, spreadKeywords }: Arguments, frame: Frame): Given {
    const values = args.map((arg) => this.expression(arg, frame))
    const named = keywords.map(({ name, value }) => [name, this.expression(value, frame)] as const)
    const more = spread && this.expression(spread, frame)
    const moreNamed = spreadKeywords && this.expression(spreadKeywords, frame)
    if (named.length === 0 && !more && !moreNamed)
      return (locals) => ({ args: values.map((value) => value(locals)), keywords: NO_KEYWORDS })
    return (locals) => {
      const all = values.map((value) => value(locals))
      if (more) all.push(...iterate(more(locals)))
      const given: Keywords = new Map()
      for (const [name, value] of named) {
        if (given.has(name)) throw typeError(`got multiple values for keyword argument '${name}'`)
        given.set(name, value(locals))
      }
      if (moreNamed) addKeywords(given, moreNamed(locals))
      return { args: all, keywords: given }
    }
  }

  /** The filter of a block gets what the block has written: `written`. */
  blockFilter(node: Filter, frame: Frame): (locals: Locals, written: Value) => Value {
    const apply = this.filterNamed(node, frame)
    const given = this.arguments(node, frame)
    // `set x | a | b`: the innermost of the chain is the block's.
    const before = node.node === null ? undefined : this.blockFilter(node.node as Filter, frame)
    return (locals, written) => {
      const value = before ? before(locals, written) : written
      const { args, keywords } = given(locals)
      return apply([value, ...args], keywords, this.library)
    }
  }

  private filter(node: Filter, frame: Frame): Evaluate {
    const apply = this.filterNamed(node, frame)
    const value = this.expression(node.node as Expression, frame)
    const { library } = this
    if (node.args.length === 0 && node.keywords.length === 0 && !node.spread && !node.spreadKeywords)
      return (locals) => apply([value(locals)], NO_KEYWORDS, library)
    const given = this.arguments(node, frame)
    return (locals) => {
      const first = value(locals)
      const { args, keywords } = given(locals)
      return apply([first, ...args], keywords, library)
    }
  }

  private filterNamed({ name, line }: Filter, frame: Frame): FilterFunction {
    const { library } = this
    if (library.hasFilter(name)) return library.filter(name)
    if (!frame.soft) throw syntaxError(`No filter named '${name}'.`, line)
    return (args, keywords) => library.filter(name)(args, keywords, library)
  }

  private test(node: Extract<Expression, { type: 'Test' }>, frame: Frame): Evaluate {
    const { library } = this
    const { name } = node
    if (!library.hasTest(name) && !frame.soft) throw syntaxError(`No test named '${name}'.`, node.line)
    const value = this.expression(node.node, frame)
    const given = this.arguments(node, frame)
    const known = library.hasTest(name) ? library.test(name) : undefined
    return (locals) => {
      const first = value(locals)
      const { args, keywords } = given(locals)
      return (known ?? library.test(name))([first, ...args], keywords)
    }
  }

  private conditional(node: Extract<Expression, { type: 'CondExpr' }>, frame: Frame): Evaluate {
    const test = this.expression(node.test, frame)
    const yes = this.expression(node.yes, frame)
    const no = node.no && this.expression(node.no, frame)
    const { line } = node
    return (locals) => {
      if (truth(test(locals))) return yes(locals)
      if (no) return no(locals)
      return new Undefined(() => `the inline if-expression on line ${line} evaluated to false and no else section was defined.`)
    }
  }

  private item(value: Evaluate, arg: Expression | Slice, frame: Frame): Evaluate {
    if (arg.type !== 'Slice') {
      const key = this.expression(arg, frame)
      return (locals) => getitem(value(locals), key(locals))
    }
    const bound = (node: Expression | undefined): Evaluate => (node ? this.expression(node, frame) : () => null)
    const [start, stop, step] = [bound(arg.start), bound(arg.stop), bound(arg.step)]
    return (locals) => sliced(value(locals), start(locals), stop(locals), step(locals))
  }

  private comparison(node: Extract<Expression, { type: 'Compare' }>, frame: Frame): Evaluate {
    const first = this.expression(node.node, frame)
    const operands = node.operands.map(({ operator, node: operand }) => ({
      compare: COMPARE[operator],
      value: this.expression(operand, frame),
    }))
    if (operands.length === 1) {
      const [{ compare, value }] = operands
      return (locals) => compare(first(locals), value(locals))
    }
    // a < b < c: b is evaluated once.
    return (locals) => {
      let left = first(locals)
      for (const { compare, value } of operands) {
        const right = value(locals)
        if (!compare(left, right)) return false
        left = right
      }
      return true
    }
  }
}

const COMPARE: { [operator in Comparison]: (left: Value, right: Value) => boolean } = {
  '==': equal,
  '!=': (left, right) => !equal(left, right),
  '<': (left, right) => ordered('<', left, right),
  '<=': (left, right) => ordered('<=', left, right),
  '>': (left, right) => ordered('>', left, right),
  '>=': (left, right) => ordered('>=', left, right),
  in: (left, right) => contains(right, left),
  'not in': (left, right) => !contains(right, left),
}

function addKeywords(keywords: Keywords, more: Value): void {
  if (!(more instanceof Dict)) throw typeError('argument after ** must be a mapping')
  for (const [key, value] of more.entries()) {
    if (!isText(key)) throw typeError('keywords must be strings')
    if (keywords.has(plain(key))) throw typeError(`got multiple values for keyword argument '${plain(key)}'`)
    keywords.set(plain(key), value)
  }
}
