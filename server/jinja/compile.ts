/** Statements as functions over the variables, in the way of Jinja2's compiler: what is set where, and what sees it. */
import { call } from './attributes.ts'
import type { Library } from './compile-expressions.ts'
import { asParameters, TargetCompiler } from './compile-targets.ts'
import { typeError } from './errors.ts'
import {
  BREAKS,
  CONTINUES,
  type Context,
  type Evaluate,
  enter,
  type Frame,
  GOES_ON,
  inner,
  Locals,
  type Run,
  reader,
  writer,
} from './frame.ts'
import { syntaxError } from './lexer.ts'
import { Loop, type Recurse } from './loop.ts'
import { type MacroArguments, macro } from './macro.ts'
import type { Block, CallBlock, Expression, For, If, Macro, Statement, Target } from './nodes.ts'
import { str } from './represent.ts'
import { allNodes, FunctionScope, Symbols, undeclared } from './symbols.ts'
import { type Callable, Iter, iterate, truth, Undefined, type Value } from './values.ts'

/** A template that can be rendered with the values of names. Throws JinjaError TemplateSyntaxError. */
export function compile(body: Statement[], library: Library): (context: Context) => string {
  const symbols = new Symbols(new FunctionScope())
  symbols.visit(...body)
  const run = new Compiler(library).frame(body, { symbols, top: true, inLoop: false, soft: false })
  return (context) => {
    const out: string[] = []
    run(new Locals(symbols.scope, context), out)
    return out.join('')
  }
}

class Compiler extends TargetCompiler {
  /** The statements of a frame, which sets its variables first. */
  frame(body: Statement[], frame: Frame): Run {
    const run = this.body(body, frame)
    const begin = enter(frame)
    return (locals, out) => {
      begin(locals)
      return run(locals, out)
    }
  }

  private body(body: Statement[], frame: Frame): Run {
    const all = body.map((statement) => this.statement(statement, frame))
    if (all.length === 1) return all[0]
    return (locals, out) => {
      for (const run of all) {
        const signal = run(locals, out)
        if (signal !== GOES_ON) return signal
      }
      return GOES_ON
    }
  }

  private statement(node: Statement, frame: Frame): Run {
    switch (node.type) {
      case 'Output':
        return this.output(node.nodes, frame)
      case 'If':
        return this.if(node, { ...frame, soft: true })
      case 'For':
        return this.for(node, frame)
      case 'Assign': {
        const value = this.expression(node.value, frame)
        const write = this.target(node.target, frame)
        return (locals) => {
          write(locals, value(locals))
          return GOES_ON
        }
      }
      case 'AssignBlock':
        return this.assignBlock(node, frame)
      case 'With':
        return this.with(node, frame)
      case 'Macro':
        return this.macro(node, frame)
      case 'CallBlock':
        return this.callBlock(node, frame)
      case 'FilterBlock': {
        const within = this.within(frame, (symbols) => symbols.visit(...node.body, node.filter))
        const run = this.frame(node.body, within)
        const filter = this.blockFilter(node.filter, within)
        return (locals, out) => {
          const own: string[] = []
          const signal = run(locals, own)
          if (signal === GOES_ON) out.push(str(filter(locals, own.join(''))))
          return signal
        }
      }
      case 'Block':
        return this.block(node, frame)
      case 'Load':
        return () => {
          throw typeError('no loader for this environment specified')
        }
      case 'Break':
      case 'Continue':
        if (!frame.inLoop) throw syntaxError(`'${node.type.toLowerCase()}' outside of a loop`, node.line)
        return node.type === 'Break' ? () => BREAKS : () => CONTINUES
    }
  }

  private output(nodes: (string | Expression)[], frame: Frame): Run {
    const parts = nodes.map((part) => (typeof part === 'string' ? part : this.expression(part, frame)))
    if (parts.length === 1) {
      const [part] = parts
      if (typeof part === 'string')
        return (_, out) => {
          out.push(part)
          return GOES_ON
        }
      return (locals, out) => {
        out.push(str(part(locals)))
        return GOES_ON
      }
    }
    return (locals, out) => {
      for (const part of parts) out.push(typeof part === 'string' ? part : str(part(locals)))
      return GOES_ON
    }
  }

  private if(node: If, frame: Frame): Run {
    const branches = [node, ...node.elif].map(({ test, body }) => ({
      test: this.expression(test, frame),
      run: this.body(body, frame),
    }))
    const otherwise = this.body(node.else, frame)
    return (locals, out) => {
      for (const { test, run } of branches) if (truth(test(locals))) return run(locals, out)
      return otherwise(locals, out)
    }
  }

  private for(node: For, frame: Frame): Run {
    for (const one of allNodes([node]))
      if (one.type === 'Name' && one.context === 'store' && one.name === 'loop')
        throw syntaxError("Can't assign to special loop variable in for-loop target", 0)
    const nested = [...allNodes(node.body)]
    const named =
      node.recursive || undeclared(node.body, ['loop']).size > 0 || nested.some((one) => one.type === 'Block' && one.scoped)
    const outside = frame.symbols
    // A recursive loop is a function, which its body calls.
    const scope = node.recursive ? new FunctionScope(outside.scope) : outside.scope
    const symbols = new Symbols(scope, outside)
    const loopVariable = named ? symbols.parameter('loop') : undefined
    asParameters(symbols, node.target)
    symbols.visit(...node.body)
    const round = inner(frame, symbols, true)
    const run = this.frame(node.body, round)
    const write = this.target(node.target, round)
    const writeLoop = loopVariable && writer(round, loopVariable)
    const elseSymbols = new Symbols(scope, outside)
    elseSymbols.visit(...node.else)
    const otherwise =
      node.else.length > 0 ? this.frame(node.else, inner(frame, elseSymbols, frame.inLoop && !node.recursive)) : undefined
    const filtered = node.test && this.loopFilter(node.target, node.test, frame, scope)

    const go = (locals: Locals, values: Value, out: string[], recurse?: Recurse, depth = 0) => {
      const items = filtered ? filtered(locals, values) : values
      const loop = named ? new Loop(items, recurse, depth) : undefined
      const iterator = loop ? undefined : iterate(items)[Symbol.iterator]()
      // As in Jinja2's code, a round that `continue` or `break` ended does not count.
      let none = true
      for (;;) {
        const item = loop ? loop.next() : nextOf(iterator as Iterator<Value>)
        if (item === undefined) break
        write(locals, item)
        writeLoop?.(locals, loop)
        const signal = run(locals, out)
        if (signal === BREAKS) break
        if (signal === GOES_ON) none = false
      }
      return none && otherwise ? otherwise(locals, out) : GOES_ON
    }
    const iter = this.expression(node.iter, frame)
    if (!node.recursive) return (locals, out) => go(locals, iter(locals), out)
    return (locals, out) => {
      const deeper: Recurse = (values, depth) => {
        const own: string[] = []
        go(new Locals(scope, locals.context, locals), values, own, deeper, depth)
        return own.join('')
      }
      out.push(str(deeper(iter(locals), 0)))
      return GOES_ON
    }
  }

  /** `for x in values if test`: what passes, looked at when it is wanted. */
  private loopFilter(target: Target, test: Expression, frame: Frame, scope: FunctionScope) {
    const symbols = new Symbols(scope, frame.symbols)
    asParameters(symbols, target)
    symbols.visit(test)
    const own = inner(frame, symbols)
    const begin = enter(own)
    const write = this.target(target, own)
    const passes = this.expression(test, own)
    return (locals: Locals, values: Value): Iter =>
      new Iter(
        (function* () {
          begin(locals)
          for (const item of iterate(values)) {
            write(locals, item)
            if (truth(passes(locals))) yield item
          }
        })(),
      )
  }

  private within(frame: Frame, analyse: (symbols: Symbols) => void): Frame {
    const symbols = new Symbols(frame.symbols.scope, frame.symbols)
    analyse(symbols)
    return inner(frame, symbols)
  }

  private assignBlock(node: Extract<Statement, { type: 'AssignBlock' }>, frame: Frame): Run {
    const within = this.within(frame, (symbols) => {
      symbols.visit(...node.body)
      if (node.filter) symbols.visit(node.filter)
    })
    const run = this.frame(node.body, within)
    const filter = node.filter && this.blockFilter(node.filter, within)
    const write = this.target(node.target, frame)
    return (locals) => {
      const own: string[] = []
      const signal = run(locals, own)
      if (signal !== GOES_ON) return signal
      const text = own.join('')
      write(locals, filter ? filter(locals, text) : text)
      return GOES_ON
    }
  }

  private with(node: Extract<Statement, { type: 'With' }>, frame: Frame): Run {
    const within = this.within(frame, (symbols) => symbols.visit(...node.targets, ...node.body))
    const values = node.values.map((value) => this.expression(value, frame))
    const targets = node.targets.map((target) => this.target(target, within))
    const begin = enter(within)
    const run = this.body(node.body, within)
    return (locals, out) => {
      begin(locals)
      for (const [i, write] of targets.entries()) write(locals, values[i](locals))
      return run(locals, out)
    }
  }

  private macro(node: Macro, frame: Frame): Run {
    const make = this.macroOf(node, node.name, frame)
    const write = this.target({ type: 'Name', name: node.name, context: 'store' }, frame)
    return (locals) => {
      write(locals, make(locals))
      return GOES_ON
    }
  }

  private callBlock(node: CallBlock, frame: Frame): Run {
    const make = this.macroOf(node, null, frame)
    if (!node.call)
      return (locals, out) => {
        out.push(str(make(locals).call([], new Map())))
        return GOES_ON
      }
    const callee = this.expression(node.call.node, frame)
    const given = this.arguments(node.call, frame)
    return (locals, out) => {
      const caller = make(locals)
      const called = callee(locals)
      const { args, keywords } = given(locals)
      out.push(str(call(called, args, new Map([...keywords, ['caller', caller]]))))
      return GOES_ON
    }
  }

  /** Of a macro, or of the block that a call gets. */
  private macroOf(node: Macro | CallBlock, name: string | null, frame: Frame): (locals: Locals) => Callable {
    const scope = new FunctionScope(frame.symbols.scope)
    const symbols = new Symbols(scope, frame.symbols)
    const params = node.params.map((param) => symbols.parameter(param.name))
    const own: Frame = { symbols, top: false, inLoop: false, soft: false }
    const names = node.params.map((param) => param.name)
    const used = undeclared(node.body, ['caller', 'kwargs', 'varargs'])
    if (used.has('caller') && names.indexOf('caller') >= 0 && names.indexOf('caller') < names.length - node.defaults.length)
      throw syntaxError(
        'When defining macros or call blocks the special "caller" argument must be omitted or be given a default.',
        node.line,
      )
    const special = (name: string) => (used.has(name) && !names.includes(name) ? symbols.parameter(name) : undefined)
    const extra = { caller: special('caller'), keywords: special('kwargs'), rest: special('varargs') }
    symbols.visit(...node.defaults, ...node.body)
    const defaults: (Evaluate | undefined)[] = names.map((_, i) => {
      const value = node.defaults[i - (names.length - node.defaults.length)]
      return value && this.expression(value, own)
    })
    const begin = enter(own)
    const run = this.body(node.body, own)
    const writes = params.map((param) => writer(own, param))
    const extras = (['caller', 'keywords', 'rest'] as const).map((key) => {
      const variable = extra[key]
      return { key, write: variable && writer(own, variable) }
    })
    const form = {
      name,
      params: names,
      uses: { caller: used.has('caller'), keywords: extra.keywords !== undefined, rest: extra.rest !== undefined },
    }
    const invoke = (outside: Locals, given: MacroArguments) => {
      const locals = new Locals(scope, outside.context, outside)
      for (const { key, write } of extras) if (write) write(locals, given[key])
      for (const [i, write] of writes.entries()) write(locals, given.values[i])
      begin(locals)
      for (const [i, write] of writes.entries()) {
        if (given.values[i] !== undefined) continue
        const value = defaults[i]
        write(locals, value ? value(locals) : new Undefined(() => `parameter '${names[i]}' was not provided`))
      }
      const out: string[] = []
      run(locals, out)
      return out.join('')
    }
    return (locals) => macro(form, (given) => invoke(locals, given))
  }

  /** There is no other template that could put something else in its place. It sees what the template has set, and of what is around it nothing, unless it is scoped. */
  private block(node: Block, frame: Frame): Run {
    const scope = new FunctionScope()
    const symbols = new Symbols(scope)
    symbols.visit(...node.body)
    const run = this.frame(node.body, { symbols, top: false, inLoop: false, soft: false })
    const around = node.scoped
      ? [...frame.symbols.visible()].map(([name, variable]) => ({ name, read: reader(frame, variable) }))
      : []
    return (locals, out) => {
      const seen = around.flatMap(({ name, read }): [string, Value][] => {
        const value = read(locals)
        return value === undefined ? [] : [[name, value]]
      })
      run(new Locals(scope, node.scoped ? locals.context.with(seen) : locals.context), out)
      return GOES_ON
    }
  }
}

/** undefined: there is none any more. */
function nextOf(iterator: Iterator<Value>): Value | undefined {
  const next = iterator.next()
  return next.done ? undefined : next.value
}
