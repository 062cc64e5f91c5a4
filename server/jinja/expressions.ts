/** Jinja2's grammar of expressions. */
import type { Arguments, Arithmetic, Call, Comparison, Expression, Filter, Pair, Slice, Target } from './nodes.ts'
import { shown, TokenStream } from './stream.ts'

const COMPARISONS = ['==', '!=', '<', '<=', '>', '>=']
/** Tokens that begin an argument of a test without parentheses. */
const BEGINS_ARGUMENT = ['(', '[', '{']

export class ExpressionParser {
  protected readonly stream: TokenStream

  constructor(source: string) {
    this.stream = new TokenStream(source)
  }

  /** A tuple without parentheses, or what stands alone. `ends`: names that end it. */
  tuple({ conditional = true, ends = [] as string[], parenthesised = false } = {}): Expression {
    return this.sequence(() => this.expression(conditional), ends, parenthesised)
  }

  expression(conditional = true): Expression {
    if (!conditional) return this.or()
    const { stream } = this
    let node = this.or()
    while (stream.is('name', 'if')) {
      const { line } = stream.next()
      const test = this.or()
      const no = stream.skip('name', 'else') ? this.expression() : undefined
      node = { type: 'CondExpr', test, yes: node, no, line }
    }
    return node
  }

  /** A name, an attribute of a namespace where that may be, or a tuple of such. */
  assignTarget({ ends = [] as string[], namespaces = false } = {}): Target {
    const { line } = this.stream.current
    const node = this.sequence(() => this.primary(namespaces) as Expression, ends, false)
    return this.stored(node as Expression | Target, line)
  }

  /** Throws TemplateSyntaxError for a name that is a constant. */
  targetName(): string {
    const { text, line } = this.stream.expect('name')
    if (RESERVED.has(text)) throw this.stream.fail(`can't assign to '${text}'`, line)
    return text
  }

  callArguments(): Arguments {
    const { stream } = this
    const { line } = stream.expect('operator', '(')
    const found: Arguments = { args: [], keywords: [] }
    const ensure = (right: boolean) => {
      if (!right) throw stream.fail('invalid syntax for function call expression', line)
    }
    let more = false
    while (!stream.isOperator(')')) {
      if (more) {
        stream.expect('operator', ',')
        if (stream.isOperator(')')) break
      }
      if (stream.skip('operator', '*')) {
        ensure(!found.spread && !found.spreadKeywords)
        found.spread = this.expression()
      } else if (stream.skip('operator', '**')) {
        ensure(!found.spreadKeywords)
        found.spreadKeywords = this.expression()
      } else if (stream.is('name') && stream.following.type === 'operator' && stream.following.text === '=') {
        ensure(!found.spreadKeywords)
        const name = stream.next().text
        stream.next()
        found.keywords.push({ name, value: this.expression() })
      } else {
        ensure(!found.spread && !found.spreadKeywords && found.keywords.length === 0)
        found.args.push(this.expression())
      }
      more = true
    }
    stream.expect('operator', ')')
    return found
  }

  /** Filters after `node`; `inline`: the first one has no `|` before it. */
  filters(node: Expression | null, inline = false): Filter | Expression | null {
    const { stream } = this
    let all = node
    for (let first = inline; first || stream.isOperator('|'); first = false) {
      if (!first) stream.next()
      const { line } = stream.current
      const name = this.dotted()
      const given = stream.isOperator('(') ? this.callArguments() : { args: [], keywords: [] }
      all = { type: 'Filter', node: all, name, line, ...given }
    }
    return all
  }

  private sequence(parse: () => Expression, ends: string[], parenthesised: boolean): Expression {
    const { stream } = this
    const items: Expression[] = []
    let isTuple = false
    for (;;) {
      if (items.length > 0) stream.expect('operator', ',')
      if (stream.is('variable_end') || stream.is('block_end') || stream.isOperator(')') || stream.isName(...ends)) break
      items.push(parse())
      if (!stream.isOperator(',')) break
      isTuple = true
    }
    if (isTuple) return { type: 'Tuple', items }
    if (items.length > 0) return items[0]
    if (!parenthesised) throw stream.fail(`Expected an expression, got '${shown(stream.current)}'`)
    return { type: 'Tuple', items }
  }

  private stored(node: Expression | Target, line: number): Target {
    if (node.type === 'NSRef') return node
    if (node.type === 'Name') return { ...node, context: 'store' } as Target
    if (node.type === 'Tuple') return { type: 'Tuple', items: node.items.map((item) => this.stored(item, line)) }
    throw this.stream.fail(`can't assign to '${node.type.toLowerCase()}'`, line)
  }

  private or(): Expression {
    let left = this.and()
    while (this.stream.skip('name', 'or')) left = { type: 'Logic', operator: 'or', left, right: this.and() }
    return left
  }

  private and(): Expression {
    let left = this.not()
    while (this.stream.skip('name', 'and')) left = { type: 'Logic', operator: 'and', left, right: this.not() }
    return left
  }

  private not(): Expression {
    if (this.stream.skip('name', 'not')) return { type: 'Unary', operator: 'not', node: this.not() }
    return this.compare()
  }

  private compare(): Expression {
    const { stream } = this
    const node = this.sum()
    const operands: { operator: Comparison; node: Expression }[] = []
    for (;;) {
      let operator: Comparison
      if (stream.isOperator(...COMPARISONS)) operator = stream.next().text as Comparison
      else if (stream.skip('name', 'in')) operator = 'in'
      else if (stream.isName('not') && stream.following.type === 'name' && stream.following.text === 'in') {
        stream.next()
        stream.next()
        operator = 'not in'
      } else break
      operands.push({ operator, node: this.sum() })
    }
    return operands.length === 0 ? node : { type: 'Compare', node, operands }
  }

  private sum(): Expression {
    let left = this.concat()
    while (this.stream.isOperator('+', '-')) {
      const operator = this.stream.next().text as Arithmetic
      left = { type: 'Binary', operator, left, right: this.concat() }
    }
    return left
  }

  private concat(): Expression {
    const nodes = [this.product()]
    while (this.stream.skip('operator', '~')) nodes.push(this.product())
    return nodes.length === 1 ? nodes[0] : { type: 'Concat', nodes }
  }

  private product(): Expression {
    let left = this.power()
    while (this.stream.isOperator('*', '/', '//', '%')) {
      const operator = this.stream.next().text as Arithmetic
      left = { type: 'Binary', operator, left, right: this.power() }
    }
    return left
  }

  private power(): Expression {
    let left = this.unary()
    while (this.stream.skip('operator', '**')) left = { type: 'Binary', operator: '**', left, right: this.unary() }
    return left
  }

  private unary(filtered = true): Expression {
    const { stream } = this
    const sign = stream.isOperator('-', '+')
    const node: Expression = sign
      ? { type: 'Unary', operator: stream.next().text as '-' | '+', node: this.unary(false) }
      : (this.primary() as Expression)
    const whole = this.postfix(node)
    return filtered ? this.filtered(whole) : whole
  }

  private primary(namespaces = false): Expression | Target {
    const { stream } = this
    const token = stream.current
    if (token.type === 'name') {
      stream.next()
      const constant = CONSTANTS.get(token.text)
      if (constant !== undefined) return { type: 'Const', value: constant }
      if (namespaces && stream.skip('operator', '.')) return { type: 'NSRef', name: token.text, attr: stream.expect('name').text }
      return { type: 'Name', name: token.text, context: 'load' }
    }
    if (token.type === 'string') {
      let value = ''
      while (stream.is('string')) value += stream.next().text
      return { type: 'Const', value }
    }
    if (token.type === 'number') {
      stream.next()
      return { type: 'Const', value: token.number ?? 0 }
    }
    if (stream.skip('operator', '(')) {
      const node = this.tuple({ parenthesised: true })
      stream.expect('operator', ')')
      return node
    }
    if (stream.skip('operator', '[')) return { type: 'List', items: this.listed(']', () => this.expression()) }
    if (stream.skip('operator', '{')) return { type: 'Dict', items: this.listed('}', () => this.pair()) }
    throw stream.fail(`unexpected '${shown(token)}'`, token.line)
  }

  private listed<T>(end: string, parse: () => T): T[] {
    const { stream } = this
    const items: T[] = []
    while (!stream.isOperator(end)) {
      if (items.length > 0) stream.expect('operator', ',')
      if (stream.isOperator(end)) break
      items.push(parse())
    }
    stream.next()
    return items
  }

  private pair(): Pair {
    const key = this.expression()
    this.stream.expect('operator', ':')
    return { key, value: this.expression() }
  }

  private postfix(node: Expression): Expression {
    const { stream } = this
    let all = node
    for (;;) {
      if (stream.isOperator('.', '[')) all = this.subscript(all)
      else if (stream.isOperator('(')) all = this.call(all)
      else return all
    }
  }

  private filtered(node: Expression): Expression {
    const { stream } = this
    let all = node
    for (;;) {
      if (stream.isOperator('|')) all = this.filters(all) as Expression
      else if (stream.isName('is')) all = this.test(all)
      else if (stream.isOperator('(')) all = this.call(all)
      else return all
    }
  }

  private call(node: Expression): Call {
    return { type: 'Call', node, ...this.callArguments() }
  }

  private subscript(node: Expression): Expression {
    const { stream } = this
    if (stream.next().text === '.') {
      const token = stream.next()
      if (token.type === 'name') return { type: 'Getattr', node, attr: token.text }
      if (token.type !== 'number' || typeof token.number === 'object') throw stream.fail('expected name or number', token.line)
      return { type: 'Getitem', node, arg: { type: 'Const', value: token.number ?? 0 } }
    }
    const parts: (Expression | Slice)[] = []
    while (!stream.isOperator(']')) {
      if (parts.length > 0) stream.expect('operator', ',')
      parts.push(this.subscripted())
    }
    stream.next()
    if (parts.length === 1) return { type: 'Getitem', node, arg: parts[0] }
    if (parts.some((part) => part.type === 'Slice')) throw stream.fail('a slice among several subscripts is not supported')
    return { type: 'Getitem', node, arg: { type: 'Tuple', items: parts as Expression[] } }
  }

  private subscripted(): Expression | Slice {
    const { stream } = this
    const start = stream.isOperator(':') ? undefined : this.expression()
    if (start && !stream.isOperator(':')) return start
    stream.next()
    const part = () => (stream.isOperator(':', ']', ',') ? undefined : this.expression())
    const stop = part()
    const step = stream.skip('operator', ':') ? part() : undefined
    return { type: 'Slice', start, stop, step }
  }

  private test(node: Expression): Expression {
    const { stream } = this
    const { line } = stream.next()
    const negated = stream.skip('name', 'not')
    const name = this.dotted()
    let given: Arguments = { args: [], keywords: [] }
    const { type } = stream.current
    if (stream.isOperator('(')) given = this.callArguments()
    else if (
      stream.isOperator(...BEGINS_ARGUMENT) ||
      type === 'string' ||
      type === 'number' ||
      (type === 'name' && !stream.isName('else', 'or', 'and'))
    ) {
      if (stream.isName('is')) throw stream.fail('You cannot chain multiple tests with is')
      given = { args: [this.postfix(this.primary() as Expression)], keywords: [] }
    }
    const test: Expression = { type: 'Test', node, name, line, ...given }
    return negated ? { type: 'Unary', operator: 'not', node: test } : test
  }

  private dotted(): string {
    let name = this.stream.expect('name').text
    while (this.stream.skip('operator', '.')) name += `.${this.stream.expect('name').text}`
    return name
  }
}

const CONSTANTS = new Map<string, boolean | null>([
  ['true', true],
  ['True', true],
  ['false', false],
  ['False', false],
  ['none', null],
  ['None', null],
])
const RESERVED = new Set(CONSTANTS.keys())
