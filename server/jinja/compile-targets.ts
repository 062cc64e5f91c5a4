/** What can be assigned to. */
import { ExpressionCompiler } from './compile-expressions.ts'
import { JinjaError, typeError, valueError } from './errors.ts'
import { type Frame, type Locals, reader, writer } from './frame.ts'
import type { Target } from './nodes.ts'
import type { Symbols } from './symbols.ts'
import { iterate, Namespace, type Value } from './values.ts'

export type Write = (locals: Locals, value: Value) => void

export class TargetCompiler extends ExpressionCompiler {
  protected target(node: Target, frame: Frame): Write {
    if (node.type === 'Tuple') return this.unpacking(node.items.map((item) => this.target(item, frame)))
    const variable = frame.symbols.find(node.name)
    if (!variable) throw new Error(`the name ${node.name} was not analysed`)
    if (node.type === 'NSRef') {
      const read = reader(frame, variable)
      return (locals, value) => {
        const namespace = read(locals)
        if (!(namespace instanceof Namespace))
          throw new JinjaError('TemplateRuntimeError', 'cannot assign attribute on non-namespace object')
        namespace.attributes.set(node.attr, value)
      }
    }
    const write = writer(frame, variable)
    if (!frame.top) return write
    return (locals, value) => {
      write(locals, value)
      locals.context.set.set(node.name, value)
    }
  }

  private unpacking(targets: Write[]): Write {
    return (locals, value) => {
      let items: Value[]
      try {
        items = [...iterate(value)]
      } catch {
        throw typeError('cannot unpack non-iterable object')
      }
      if (items.length !== targets.length)
        throw valueError(
          items.length > targets.length
            ? `too many values to unpack (expected ${targets.length})`
            : `not enough values to unpack (expected ${targets.length}, got ${items.length})`,
        )
      for (const [i, write] of targets.entries()) write(locals, items[i])
    }
  }
}

/** What a loop sets belongs to its rounds. */
export function asParameters(symbols: Symbols, target: Target): void {
  if (target.type === 'Tuple') for (const item of target.items) asParameters(symbols, item)
  else symbols.parameter(target.name)
}
