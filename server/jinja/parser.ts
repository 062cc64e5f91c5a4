/** Jinja2's grammar of statements, with the extensions that transformers adds: break, continue, and `generation`. */
import { ExpressionParser } from './expressions.ts'
import type { Call, Expression, Filter, If, Signature, Statement, Target } from './nodes.ts'

/** Statements nested in each other: a template that nests deeper would overflow the stack of who reads it. */
const MOST_NESTED = 200

/** Throws JinjaError TemplateSyntaxError, with the line. */
export function parse(source: string): Statement[] {
  return new Parser(source).template()
}

class Parser extends ExpressionParser {
  private depth = 0

  template(): Statement[] {
    return this.body([])
  }

  /** Statements up to the tag of one of these names, whose name is the current token then; without names, all. */
  private body(ends: string[]): Statement[] {
    const { stream } = this
    if (++this.depth > MOST_NESTED) throw stream.fail(`more than ${MOST_NESTED} tags in each other`)
    const statements: Statement[] = []
    let output: (string | Expression)[] = []
    const flush = () => {
      if (output.length > 0) statements.push({ type: 'Output', nodes: output })
      output = []
    }
    for (;;) {
      if (stream.is('data')) output.push(stream.next().text)
      else if (stream.skip('variable_begin')) {
        output.push(this.tuple())
        stream.expect('variable_end')
      } else if (stream.skip('block_begin')) {
        flush()
        if (stream.isName(...ends)) break
        statements.push(this.statement(ends))
        stream.expect('block_end')
      } else {
        if (ends.length > 0)
          throw stream.fail(`Unexpected end of template. Jinja was looking for the following tags: ${ends.join(' or ')}`)
        flush()
        break
      }
    }
    this.depth--
    return statements
  }

  /** The statements of a tag, up to its end, which is read. */
  private bodyTo(end: string): Statement[] {
    const statements = this.bodyUpTo(end)
    this.stream.next()
    return statements
  }

  private bodyUpTo(...ends: string[]): Statement[] {
    this.stream.skip('operator', ':')
    this.stream.expect('block_end')
    return this.body(ends)
  }

  private statement(ends: string[]): Statement {
    const { stream } = this
    const { type, text, line } = stream.current
    if (type !== 'name') throw stream.fail('tag name expected')
    const parse = Object.hasOwn(this.tags, text) ? this.tags[text] : undefined
    if (!parse)
      throw stream.fail(
        `Encountered unknown tag '${text}'.${ends.length > 0 ? ` Jinja was looking for the following tags: ${ends.join(' or ')}` : ''}`,
      )
    stream.next()
    return parse(line)
  }

  private readonly tags: { [name: string]: (line: number) => Statement } = {
    for: () => this.for(),
    if: () => this.if(),
    set: () => this.set(),
    with: () => this.with(),
    macro: (line) => ({ type: 'Macro', name: this.targetName(), ...this.signature(), body: this.bodyTo('endmacro'), line }),
    call: (line) => this.callBlock(line),
    filter: () => ({ type: 'FilterBlock', filter: this.filters(null, true) as Filter, body: this.bodyTo('endfilter') }),
    print: () => this.print(),
    block: () => this.block(),
    generation: (line) => ({
      type: 'CallBlock',
      call: null,
      params: [],
      defaults: [],
      body: this.bodyTo('endgeneration'),
      line,
    }),
    break: (line) => ({ type: 'Break', line }),
    continue: (line) => ({ type: 'Continue', line }),
    extends: () => ({ type: 'Load', template: this.expression(), names: [] }),
    include: () => this.include(),
    import: () => this.import(),
    from: () => this.from(),
  }

  private for(): Statement {
    const { stream } = this
    const target = this.assignTarget({ ends: ['in'] })
    stream.expect('name', 'in')
    const iter = this.tuple({ conditional: false, ends: ['recursive'] })
    const test = stream.skip('name', 'if') ? this.expression() : undefined
    const recursive = stream.skip('name', 'recursive')
    const body = this.bodyUpTo('endfor', 'else')
    const otherwise = stream.next().text === 'else' ? this.bodyTo('endfor') : []
    return { type: 'For', target, iter, body, else: otherwise, test, recursive }
  }

  private if(): If {
    const { stream } = this
    const all: If[] = []
    let otherwise: Statement[] = []
    for (;;) {
      const test = this.tuple({ conditional: false })
      all.push({ type: 'If', test, body: this.bodyUpTo('elif', 'else', 'endif'), elif: [], else: [] })
      const end = stream.next().text
      if (end === 'elif') continue
      if (end === 'else') otherwise = this.bodyTo('endif')
      return { ...all[0], elif: all.slice(1), else: otherwise }
    }
  }

  private set(): Statement {
    const target = this.assignTarget({ namespaces: true })
    if (this.stream.skip('operator', '=')) return { type: 'Assign', target, value: this.tuple() }
    const filter = this.filters(null) as Filter | null
    return { type: 'AssignBlock', target, filter: filter ?? undefined, body: this.bodyTo('endset') }
  }

  private with(): Statement {
    const { stream } = this
    const targets: Target[] = []
    const values: Expression[] = []
    while (!stream.is('block_end')) {
      if (targets.length > 0) stream.expect('operator', ',')
      targets.push(asParameter(this.assignTarget()))
      stream.expect('operator', '=')
      values.push(this.expression())
    }
    return { type: 'With', targets, values, body: this.bodyTo('endwith') }
  }

  private signature(): Signature {
    const { stream } = this
    const params: Signature['params'] = []
    const defaults: Expression[] = []
    stream.expect('operator', '(')
    while (!stream.isOperator(')')) {
      if (params.length > 0) stream.expect('operator', ',')
      params.push({ type: 'Name', name: this.targetName(), context: 'param' })
      if (stream.skip('operator', '=')) defaults.push(this.expression())
      else if (defaults.length > 0) throw stream.fail('non-default argument follows default argument')
    }
    stream.next()
    return { params, defaults }
  }

  private callBlock(line: number): Statement {
    const { stream } = this
    const signature = stream.isOperator('(') ? this.signature() : { params: [], defaults: [] }
    const call = this.expression()
    if (call.type !== 'Call') throw stream.fail('expected call', line)
    return { type: 'CallBlock', call: call as Call, ...signature, body: this.bodyTo('endcall'), line }
  }

  private print(): Statement {
    const nodes: Expression[] = []
    while (!this.stream.is('block_end')) {
      if (nodes.length > 0) this.stream.expect('operator', ',')
      nodes.push(this.expression())
    }
    return { type: 'Output', nodes }
  }

  private block(): Statement {
    const { stream } = this
    const name = stream.expect('name').text
    const scoped = stream.skip('name', 'scoped')
    stream.skip('name', 'required')
    const body = this.bodyTo('endblock')
    stream.skip('name', name)
    return { type: 'Block', name, scoped, body }
  }

  private include(): Statement {
    const { stream } = this
    const template = this.expression()
    if (stream.skip('name', 'ignore')) stream.expect('name', 'missing')
    this.importContext()
    return { type: 'Load', template, names: [] }
  }

  private import(): Statement {
    const template = this.expression()
    this.stream.expect('name', 'as')
    const names = [this.targetName()]
    this.importContext()
    return { type: 'Load', template, names }
  }

  private from(): Statement {
    const { stream } = this
    const template = this.expression()
    stream.expect('name', 'import')
    const names: string[] = []
    do {
      const name = this.targetName()
      names.push(stream.skip('name', 'as') ? this.targetName() : name)
    } while (stream.skip('operator', ',') && !stream.isName('with', 'without'))
    this.importContext()
    return { type: 'Load', template, names }
  }

  private importContext(): void {
    const { stream } = this
    if (stream.isName('with', 'without') && stream.following.text === 'context') {
      stream.next()
      stream.next()
    }
  }
}

function asParameter(target: Target): Target {
  if (target.type === 'Name') return { ...target, context: 'param' }
  return target.type === 'Tuple' ? { type: 'Tuple', items: target.items.map(asParameter) } : target
}
