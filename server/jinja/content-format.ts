/**
 * Whether a template goes through a message's content part by part, as vLLM finds it out before it hands parts on (its "openai" format; "string" is all parts joined). Beyond what
 * vLLM looks at, content that is handed to a macro is followed: transformers hands the list to any template.
 */
import type { Expression, For, Node, Statement } from './nodes.ts'
import { allNodes } from './symbols.ts'

export interface ContentFormat {
  /** It walks through lists of parts. */
  parts: boolean
  /** It can do with plain text: it asks what the content is. */
  text: boolean
}

/** Tests that tell a text from a list. */
const ASKS = new Set(['string', 'iterable', 'sequence', 'mapping'])

export function contentFormat(body: Statement[]): ContentFormat {
  const nodes = [...allNodes(body)]
  const names = namesOfContent(nodes)
  const isContent = (node: Node) => isContentOf(node, names)
  const loops = nodes.filter((node) => node.type === 'For')
  const direct = loops.some(({ iter }) => isContentOf(iter, NONE))
  const parts = direct || loops.some((loop) => isContent(loop.iter) && looksAtParts(loop))
  const text = !direct || nodes.some((node) => node.type === 'Test' && ASKS.has(node.name) && isContent(node.node))
  return { parts, text }
}

const NONE: ReadonlySet<string> = new Set()

/** Whether a loop asks its items for what parts have: a variable of content may be something else elsewhere. */
function looksAtParts({ target, body }: For): boolean {
  if (target.type !== 'Name') return false
  const isItem = (node: Node) => node.type === 'Name' && node.name === target.name
  const isField = (value: unknown) => value === 'type' || value === 'text'
  return [...allNodes(body)].some(
    (node) =>
      (node.type === 'Getattr' && isField(node.attr) && isItem(node.node)) ||
      (node.type === 'Getitem' && node.arg.type === 'Const' && isField(node.arg.value) && isItem(node.node)),
  )
}

/** Variables and parameters of macros that hold a message's content. */
function namesOfContent(nodes: Node[]): Set<string> {
  const macros = new Map(nodes.flatMap((node) => (node.type === 'Macro' ? [[node.name, node] as const] : [])))
  const names = new Set<string>()
  for (let before = -1; before !== names.size; ) {
    before = names.size
    for (const node of nodes) {
      if (node.type === 'Assign' && node.target.type === 'Name' && isContentOf(node.value, names)) names.add(node.target.name)
      if (node.type !== 'Call' || node.node.type !== 'Name') continue
      const macro = macros.get(node.node.name)
      for (const [i, arg] of node.args.entries()) if (macro?.params[i] && isContentOf(arg, names)) names.add(macro.params[i].name)
      for (const { name, value } of node.keywords) if (macro && isContentOf(value, names)) names.add(name)
    }
  }
  return names
}

function isContentOf(node: Node, names: ReadonlySet<string>): boolean {
  switch (node.type) {
    case 'Name':
      return names.has(node.name)
    case 'Getattr':
      return node.attr === 'content'
    case 'Getitem':
      return node.arg.type === 'Slice' ? isContentOf(node.node, names) : node.arg.type === 'Const' && node.arg.value === 'content'
    case 'Filter':
      return node.node !== null && isContentOf(node.node, names)
    case 'Logic':
      return isContentOf(node.left, names)
    case 'CondExpr':
      return isContentOf(node.yes, names) || (node.no !== undefined && isContentOf(node.no as Expression, names))
    default:
      return false
  }
}
