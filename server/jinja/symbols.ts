/**
 * Which variable a name means in each part of a template, found before it runs, as Jinja2 finds it (its idtracking): a frame's variable that is set anywhere in it is another
 * than the one outside, begins as that one, and the one outside stays as it is.
 */
import { children, type Node, type Statement } from './nodes.ts'

/** The variables of what runs as one function: the template, a macro, a recursive loop. Each has a place in the list that a call has. */
export class FunctionScope {
  readonly parent: FunctionScope | undefined
  size = 0

  constructor(parent?: FunctionScope) {
    this.parent = parent
  }
}

/** One variable. */
export interface Variable {
  name: string
  scope: FunctionScope
  place: number
}

/** What a variable is when its frame is entered: what the caller gave, the context's of that name, another variable, or nothing. */
export type Load = { from: 'parameter' } | { from: 'context' } | { from: 'variable'; variable: Variable } | { from: 'nothing' }

export class Symbols {
  readonly parent: Symbols | undefined
  readonly scope: FunctionScope
  loads = new Map<Variable, Load>()
  private refs = new Map<string, Variable>()
  private stores = new Set<string>()
  /** Branches of an `if` say the same name and mean the same variable. */
  private readonly variables: Map<string, Variable>

  constructor(scope: FunctionScope, parent?: Symbols, variables = new Map<string, Variable>()) {
    this.scope = scope
    this.parent = parent
    this.variables = variables
  }

  find(name: string): Variable | undefined {
    return this.refs.get(name) ?? this.parent?.find(name)
  }

  load(name: string): void {
    if (!this.find(name)) this.define(name, { from: 'context' })
  }

  store(name: string): void {
    this.stores.add(name)
    if (this.refs.has(name)) return
    const outer = this.parent?.find(name)
    this.define(name, outer ? { from: 'variable', variable: outer } : { from: 'nothing' })
  }

  parameter(name: string): Variable {
    this.stores.add(name)
    return this.define(name, { from: 'parameter' })
  }

  /** Names that are set in this frame or around it, as far as they have a value. */
  visible(): Map<string, Variable> {
    const all = this.parent?.visible() ?? new Map<string, Variable>()
    for (const name of this.stores) {
      const variable = this.find(name)
      if (variable) all.set(name, variable)
    }
    return all
  }

  visit(...nodes: Node[]): void {
    for (const node of nodes) this.visitOne(node)
  }

  private visitOne(node: Node): void {
    switch (node.type) {
      case 'Name':
        if (node.context === 'param') this.parameter(node.name)
        else if (node.context === 'store') this.store(node.name)
        else this.load(node.name)
        break
      case 'NSRef':
        this.load(node.name)
        break
      case 'If':
        this.visit(node.test)
        this.branches([node.body, node.elif, node.else])
        break
      case 'Macro':
        this.store(node.name)
        break
      case 'Load':
        this.visit(node.template)
        for (const name of node.names) this.store(name)
        break
      case 'Assign':
        this.visit(node.value, node.target)
        break
      case 'For':
        this.visit(node.iter)
        break
      case 'CallBlock':
        if (node.call) this.visit(node.call)
        break
      case 'FilterBlock':
        this.visit(node.filter)
        break
      case 'With':
        this.visit(...node.values)
        break
      case 'AssignBlock':
        this.visit(node.target)
        break
      case 'Block':
        break
      default:
        this.visit(...children(node))
    }
  }

  private branches(bodies: Statement[][]): void {
    const branches = bodies.map((body) => {
      const branch = new Symbols(this.scope, this.parent, this.variables)
      branch.refs = new Map(this.refs)
      branch.loads = new Map(this.loads)
      branch.stores = new Set(this.stores)
      branch.visit(...body)
      return branch
    })
    const stored = new Set(branches.flatMap(({ stores }) => [...stores]).filter((name) => !this.stores.has(name)))
    for (const { refs, loads, stores } of branches) {
      for (const [name, variable] of refs) this.refs.set(name, variable)
      for (const [variable, load] of loads) this.loads.set(variable, load)
      for (const name of stores) this.stores.add(name)
    }
    for (const name of stored) {
      const variable = this.find(name)
      if (!variable) continue
      const outer = this.parent?.find(name)
      this.loads.set(variable, outer ? { from: 'variable', variable: outer } : { from: 'context' })
    }
  }

  private define(name: string, load: Load): Variable {
    let variable = this.variables.get(name)
    if (!variable) {
      variable = { name, scope: this.scope, place: this.scope.size++ }
      this.variables.set(name, variable)
    }
    this.refs.set(name, variable)
    this.loads.set(variable, load)
    return variable
  }
}

/** Which of the names are read in the nodes without being set in them before. */
export function undeclared(nodes: Iterable<Node>, names: readonly string[]): Set<string> {
  const open = new Set(names)
  const found = new Set<string>()
  const visit = (node: Node): void => {
    if (node.type === 'Block') return
    if (node.type !== 'Name') for (const child of children(node)) visit(child)
    else if (node.context !== 'load') open.delete(node.name)
    else if (open.has(node.name)) found.add(node.name)
  }
  for (const node of nodes) visit(node)
  return found
}

/** All nodes within, themselves too. */
export function* allNodes(nodes: Iterable<Node>): Generator<Node> {
  for (const node of nodes) {
    yield node
    yield* allNodes(children(node))
  }
}
