/** The tree of a template: Jinja2's nodes, with its names. */
import type { Value } from './values.ts'

export interface Name {
  type: 'Name'
  name: string
  /** `param`: of a macro, a loop or a `with`. */
  context: 'load' | 'store' | 'param'
}

export interface Pair {
  key: Expression
  value: Expression
}

export interface Arguments {
  args: Expression[]
  keywords: { name: string; value: Expression }[]
  spread?: Expression
  spreadKeywords?: Expression
}

/** With `node` null, a filter of a block: of what the block writes. */
export interface Filter extends Arguments {
  type: 'Filter'
  node: Expression | null
  name: string
  line: number
}

export interface Call extends Arguments {
  type: 'Call'
  node: Expression
}

export interface Slice {
  type: 'Slice'
  start?: Expression
  stop?: Expression
  step?: Expression
}

export type Arithmetic = '+' | '-' | '*' | '/' | '//' | '%' | '**'
export type Comparison = '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | 'not in'

export type Expression =
  | Name
  | { type: 'Const'; value: Value }
  | { type: 'Tuple'; items: Expression[] }
  | { type: 'List'; items: Expression[] }
  | { type: 'Dict'; items: Pair[] }
  | { type: 'CondExpr'; test: Expression; yes: Expression; no?: Expression; line: number }
  | Filter
  | ({ type: 'Test'; node: Expression; name: string; line: number } & Arguments)
  | Call
  | { type: 'Getitem'; node: Expression; arg: Expression | Slice }
  | { type: 'Getattr'; node: Expression; attr: string }
  | { type: 'Binary'; operator: Arithmetic; left: Expression; right: Expression }
  | { type: 'Logic'; operator: 'and' | 'or'; left: Expression; right: Expression }
  | { type: 'Unary'; operator: '-' | '+' | 'not'; node: Expression }
  | { type: 'Compare'; node: Expression; operands: { operator: Comparison; node: Expression }[] }
  | { type: 'Concat'; nodes: Expression[] }

/** What can be assigned to; `NSRef`: an attribute of a namespace. */
export type Target = Name | { type: 'NSRef'; name: string; attr: string } | { type: 'Tuple'; items: Target[] }

export interface Signature {
  params: Name[]
  /** Of the last ones. */
  defaults: Expression[]
}

export interface For {
  type: 'For'
  target: Target
  iter: Expression
  body: Statement[]
  else: Statement[]
  test?: Expression
  recursive: boolean
}

export interface If {
  type: 'If'
  test: Expression
  body: Statement[]
  elif: If[]
  else: Statement[]
}

export interface Macro extends Signature {
  type: 'Macro'
  name: string
  body: Statement[]
  line: number
}

/** `call` null: transformers' `generation`, which writes its body. */
export interface CallBlock extends Signature {
  type: 'CallBlock'
  call: Call | null
  body: Statement[]
  line: number
}

export interface Block {
  type: 'Block'
  name: string
  scoped: boolean
  body: Statement[]
}

export type Statement =
  | { type: 'Output'; nodes: (string | Expression)[] }
  | For
  | If
  | Macro
  | CallBlock
  | Block
  | { type: 'FilterBlock'; filter: Filter; body: Statement[] }
  | { type: 'With'; targets: Target[]; values: Expression[]; body: Statement[] }
  | { type: 'Assign'; target: Target; value: Expression }
  | { type: 'AssignBlock'; target: Target; filter?: Filter; body: Statement[] }
  /** extends, include, import: there are no other templates. */
  | { type: 'Load'; template: Expression; names: string[] }
  | { type: 'Break'; line: number }
  | { type: 'Continue'; line: number }

export type Node = Statement | Expression | Target | Slice

/** What a node holds, in Jinja2's order of its fields. */
export function* children(node: Node): Generator<Node> {
  switch (node.type) {
    case 'Output':
      for (const one of node.nodes) if (typeof one !== 'string') yield one
      break
    case 'For':
      yield node.target
      yield node.iter
      yield* node.body
      yield* node.else
      if (node.test) yield node.test
      break
    case 'If':
      yield node.test
      yield* node.body
      yield* node.elif
      yield* node.else
      break
    case 'Macro':
      yield* node.params
      yield* node.defaults
      yield* node.body
      break
    case 'CallBlock':
      if (node.call) yield node.call
      yield* node.params
      yield* node.defaults
      yield* node.body
      break
    case 'Block':
      yield* node.body
      break
    case 'FilterBlock':
      yield* node.body
      yield node.filter
      break
    case 'With':
      yield* node.targets
      yield* node.values
      yield* node.body
      break
    case 'Assign':
      yield node.target
      yield node.value
      break
    case 'AssignBlock':
      yield node.target
      if (node.filter) yield node.filter
      yield* node.body
      break
    case 'Load':
      yield node.template
      break
    case 'Tuple':
    case 'List':
      yield* node.items
      break
    case 'Dict':
      for (const { key, value } of node.items) {
        yield key
        yield value
      }
      break
    case 'CondExpr':
      yield node.test
      yield node.yes
      if (node.no) yield node.no
      break
    case 'Filter':
    case 'Test':
    case 'Call':
      if (node.node) yield node.node
      yield* node.args
      for (const { value } of node.keywords) yield value
      if (node.spread) yield node.spread
      if (node.spreadKeywords) yield node.spreadKeywords
      break
    case 'Getitem':
      yield node.node
      yield node.arg
      break
    case 'Slice':
      for (const part of [node.start, node.stop, node.step]) if (part) yield part
      break
    case 'Getattr':
    case 'Unary':
      yield node.node
      break
    case 'Binary':
    case 'Logic':
      yield node.left
      yield node.right
      break
    case 'Compare':
      yield node.node
      for (const operand of node.operands) yield operand.node
      break
    case 'Concat':
      yield* node.nodes
      break
    default:
      break
  }
}
