/** What a compiled template is made of, and what it runs on. */
import type { FunctionScope, Symbols, Variable } from './symbols.ts'
import { Undefined, type Value } from './values.ts'

/** What names mean that no variable is: the values of a rendering, over the globals; blocks see what the template has set. */
export class Context {
  private readonly values: ReadonlyMap<string, Value>
  private readonly globals: ReadonlyMap<string, Value>
  readonly set = new Map<string, Value>()

  constructor(values: ReadonlyMap<string, Value>, globals: ReadonlyMap<string, Value>) {
    this.values = values
    this.globals = globals
  }

  resolve(name: string): Value | undefined {
    const own = this.set.get(name)
    if (own !== undefined) return own
    const value = this.values.get(name)
    return value !== undefined ? value : this.globals.get(name)
  }

  /** The same, with more set. */
  with(more: Iterable<[string, Value]>): Context {
    const context = new Context(this.values, this.globals)
    for (const [name, value] of this.set) context.set.set(name, value)
    for (const [name, value] of more) context.set.set(name, value)
    return context
  }
}

/** The variables of one call of a function; undefined: not set. */
export class Locals {
  readonly slots: (Value | undefined)[]
  readonly parent: Locals | undefined
  readonly context: Context

  constructor(scope: FunctionScope, context: Context, parent?: Locals) {
    this.slots = new Array(scope.size)
    this.context = context
    this.parent = parent
  }
}

/** How a statement ended: it went on, or it left the round, or the loop. */
export type Signal = 0 | 1 | 2
export const GOES_ON = 0
export const CONTINUES = 1
export const BREAKS = 2

export type Evaluate = (locals: Locals) => Value
/** Writes to `out`. */
export type Run = (locals: Locals, out: string[]) => Signal

/** What is compiled inside of what. */
export interface Frame {
  symbols: Symbols
  /** Of the template itself: what is set here blocks see. */
  top: boolean
  /** `break` may be said. */
  inLoop: boolean
  /** Inside of an `if`: a filter that there is not fails when it is used, not before. */
  soft: boolean
}

export const inner = (frame: Frame, symbols: Symbols, inLoop = frame.inLoop): Frame => ({
  symbols,
  top: false,
  inLoop,
  soft: false,
})

/** Functions between a frame's own and a variable's. */
function distance(from: FunctionScope, to: FunctionScope): number {
  let steps = 0
  for (let scope: FunctionScope | undefined = from; scope !== to; scope = scope.parent) {
    if (!scope) throw new Error('a variable of no function around')
    steps++
  }
  return steps
}

function localsAt(locals: Locals, steps: number): Locals {
  let found = locals
  for (let i = 0; i < steps; i++) found = found.parent as Locals
  return found
}

/** Reads a variable; undefined: it is not set. */
export function reader({ symbols }: Frame, { scope, place }: Variable): (locals: Locals) => Value | undefined {
  const steps = distance(symbols.scope, scope)
  if (steps === 0) return (locals) => locals.slots[place]
  return (locals) => localsAt(locals, steps).slots[place]
}

export function writer({ symbols }: Frame, { scope, place }: Variable): (locals: Locals, value: Value | undefined) => void {
  const steps = distance(symbols.scope, scope)
  return (locals, value) => {
    localsAt(locals, steps).slots[place] = value
  }
}

export function lookup(frame: Frame, name: string): Evaluate {
  const variable = frame.symbols.find(name)
  if (!variable) throw new Error(`the name ${name} was not analysed`)
  const read = reader(frame, variable)
  return (locals) => {
    const value = read(locals)
    return value === undefined ? new Undefined(() => `'${name}' is undefined`) : value
  }
}

/** Sets a frame's variables to what they begin as. Called after everything in the frame has been analysed. */
export function enter(frame: Frame): (locals: Locals) => void {
  const steps: ((locals: Locals) => void)[] = []
  for (const [variable, load] of frame.symbols.loads) {
    if (load.from === 'parameter') continue
    const write = writer(frame, variable)
    if (load.from === 'nothing') steps.push((locals) => write(locals, undefined))
    else if (load.from === 'context') steps.push((locals) => write(locals, locals.context.resolve(variable.name)))
    else {
      const read = reader(frame, load.variable)
      steps.push((locals) => write(locals, read(locals)))
    }
  }
  return (locals) => {
    for (const step of steps) step(locals)
  }
}
