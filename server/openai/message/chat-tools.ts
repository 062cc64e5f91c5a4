/** `tools`, `tool_choice` and `parallel_tool_calls` as chat completions have them, checked as OpenAI checks them. */
import { ApiError } from '../../errors.ts'
import { nearest } from '../../nearest.ts'
import { type Body, given, shown } from '../parameters.ts'
import type { ToolDefinition, ToolUse } from './tool-use.ts'

const NAME = /^[a-zA-Z0-9_-]{1,64}$/
const CHOICES = ['none', 'auto', 'required'] as const

interface ChatTool {
  type: string
  function?: { name?: unknown; description?: unknown; parameters?: unknown }
}

/** undefined: the request brings no tools. Throws ApiError that names the field. */
export function toolUseOf(body: Body): ToolUse | undefined {
  const tools = given<ChatTool[]>(body, 'tools', []).map(toolOf)
  checkNames(tools, (i) => `tools.${i}.function.name`)
  const choice = choiceOf(body.tool_choice, tools)
  return tools.length === 0 ? undefined : { tools, choice, parallel: given(body, 'parallel_tool_calls', true) }
}

/** Of any API: names that no call could be told by are refused. */
export function checkNames(tools: readonly ToolDefinition[], param: (index: number) => string): void {
  const names = new Set<string>()
  for (const [i, { name }] of tools.entries()) {
    if (!NAME.test(name))
      throw wrong(`${param(i)} ${JSON.stringify(shown(name))} must be 1 to 64 letters, digits, _ or -`, param(i))
    if (names.has(name)) throw wrong(`${param(i)}: two tools have the name ${name}; give each its own`, param(i))
    names.add(name)
  }
}

function toolOf({ type, function: called }: ChatTool, i: number): ToolDefinition {
  if (type !== 'function')
    throw new ApiError(
      'unsupported_parameter',
      `tools.${i}.type must be "function"; ${JSON.stringify(shown(String(type)))} is not supported`,
      `tools.${i}.type`,
    )
  if (typeof called !== 'object' || called === null) throw wrong(`you must provide tools.${i}.function`, `tools.${i}.function`)
  const { name, description, parameters } = called
  const at = `tools.${i}.function`
  if (typeof name !== 'string') throw wrong(`${at}.name must be a string`, `${at}.name`)
  if (description != null && typeof description !== 'string')
    throw wrong(`${at}.description must be a string`, `${at}.description`)
  const schema = parametersOf(parameters, `${at}.parameters`)
  return { name, ...(description != null && { description }), ...(schema && { parameters: schema }) }
}

function parametersOf(parameters: unknown, param: string): object | undefined {
  if (parameters == null) return undefined
  const type = (parameters as { type?: unknown }).type ?? 'object'
  if (typeof parameters !== 'object' || Array.isArray(parameters) || type !== 'object')
    throw wrong(`${param} must be a JSON schema of type "object"`, param)
  return parameters
}

function choiceOf(said: unknown, tools: readonly ToolDefinition[]): ToolUse['choice'] {
  const choice = said ?? (tools.length > 0 ? 'auto' : 'none')
  if (typeof choice === 'string') {
    const known = CHOICES.find((one) => one === choice)
    if (!known) throw wrong(`tool_choice must be "none", "auto", "required" or a function, not ${JSON.stringify(shown(choice))}`)
    if (known === 'required' && tools.length === 0) throw withoutTools()
    return known
  }
  const { type, function: called } = choice as { type?: unknown; function?: { name?: unknown } }
  if (type !== 'function') throw new ApiError('unsupported_parameter', 'tool_choice.type must be "function"', 'tool_choice.type')
  const name = called?.name
  if (typeof name !== 'string') throw wrong('tool_choice.function.name must be a string', 'tool_choice.function.name')
  if (tools.length === 0) throw withoutTools()
  if (!tools.some((tool) => tool.name === name)) {
    const [near] = nearest(
      name,
      tools.map((tool) => tool.name),
      1,
    )
    throw wrong(`tool_choice: no function of tools has the name ${shown(name)}.${near ? ` Did you mean ${near}?` : ''}`)
  }
  return { name }
}

const wrong = (message: string, param = 'tool_choice') => new ApiError('invalid_request', message, param)

const withoutTools = () => wrong('tool_choice needs tools to choose from; give tools, or leave it out')
