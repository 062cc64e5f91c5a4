/** From a body of the Responses API to a chat body, and back from that one's errors. */
import { ApiError } from '../errors.ts'
import { type Body, given, shown } from '../openai/parameters.ts'
import { type Message, messagesOfItems } from './items.ts'
import type { Item } from './response.ts'

type Fields = Record<string, unknown>

/** Fields that hold what this server does not keep. */
const UNSERVED = {
  conversation: 'conversations are not kept; continue with previous_response_id',
  prompt: 'no prompt templates are kept; send instructions and input',
  context_management: 'it compacts nothing; use truncation',
} as const

/** Refuses what is not served, and what cannot go together, before anything is made of it. Returns the body without what was empty of it. */
export function checkResponse(body: Body): Body {
  const rest = { ...body }
  for (const [field, why] of Object.entries(UNSERVED)) {
    const value = rest[field]
    delete rest[field]
    if (value === undefined || value === null || (Array.isArray(value) && value.length === 0)) continue
    throw new ApiError('unsupported_parameter', `${field} is not supported by this server: ${why}`, field)
  }
  if (body.background && body.store === false)
    throw new ApiError('invalid_request', 'background needs store to be true: its response is fetched later', 'background')
  if (body.stream_options && !body.stream)
    throw new ApiError('invalid_request', 'stream_options needs stream to be true', 'stream_options')
  return rest
}

/** `shared`: names of the fields that both APIs have; `items`: the whole conversation; `streams`: its answer is told as it comes. Throws ApiError, which names this API's fields. */
export function chatBodyOf(body: Body, shared: readonly string[], items: readonly Item[], streams: boolean): Body {
  const chat: Body = { model: body.model, messages: withInstructions(body, messagesOfItems(items)), stream: streams }
  for (const field of shared) if (body[field] !== undefined) chat[field] = body[field]
  if (body.max_output_tokens != null) chat.max_completion_tokens = body.max_output_tokens
  const scored = (body.include as string[] | null | undefined)?.includes('message.output_text.logprobs') ?? false
  const most = given(body, 'top_logprobs', 0)
  if (scored || most > 0) Object.assign(chat, { logprobs: true, top_logprobs: most })
  const { tools, choice } = toolsOf(body)
  if (tools.length > 0) {
    Object.assign(chat, { tools, tool_choice: choice })
    if (body.parallel_tool_calls != null) chat.parallel_tool_calls = body.parallel_tool_calls
  }
  const { format, verbosity } = given<Fields>(body, 'text', {})
  const wanted = formatOf(format as Fields | null | undefined)
  if (wanted) chat.response_format = wanted
  if (verbosity != null) chat.verbosity = verbosity
  const { effort } = given<Fields>(body, 'reasoning', {})
  if (effort != null) chat.reasoning_effort = effort
  return chat
}

function withInstructions(body: Body, messages: Message[]): Message[] {
  const { instructions } = body
  if (instructions === undefined || instructions === null || instructions === '') return messages
  return [{ role: 'system', content: instructions }, ...messages]
}

function formatOf(format: Fields | null | undefined): object | undefined {
  if (!format || format.type === 'text') return undefined
  if (format.type === 'json_object') return { type: 'json_object' }
  const { name, schema, strict, description } = format
  for (const field of ['name', 'schema'])
    if (format[field] == null)
      throw new ApiError('invalid_request', `you must provide text.format.${field}`, `text.format.${field}`)
  return {
    type: 'json_schema',
    json_schema: { name, schema, ...(strict != null && { strict }), ...(description != null && { description }) },
  }
}

/** Functions as chat has them. `allowed_tools` leaves those that it names. */
function toolsOf(body: Body): { tools: object[]; choice: unknown } {
  const tools = given<Fields[]>(body, 'tools', []).map(toolOf)
  const choice = given<string | Fields>(body, 'tool_choice', 'auto')
  if (typeof choice === 'string') {
    if (!['none', 'auto', 'required'].includes(choice))
      throw new ApiError('invalid_request', `tool_choice must be "none", "auto", "required", or name a function`, 'tool_choice')
    return { tools, choice }
  }
  if (choice.type === 'function') return { tools, choice: { type: 'function', function: { name: choice.name } } }
  if (choice.type === 'allowed_tools') {
    const allowed = (Array.isArray(choice.tools) ? choice.tools : []) as Fields[]
    const names = new Set(allowed.map((tool) => tool?.name))
    const left = tools.filter((tool) => names.has(tool.function.name))
    if (left.length === 0)
      throw new ApiError('invalid_request', 'tool_choice.tools must name functions that are in tools', 'tool_choice.tools')
    return { tools: left, choice: choice.mode ?? 'auto' }
  }
  throw new ApiError(
    'unsupported_parameter',
    `tool_choice of type ${shown(String(choice.type))} is not supported; function and allowed_tools are`,
    'tool_choice',
  )
}

function toolOf(tool: Fields, i: number): { type: 'function'; function: Fields } {
  if (tool.type !== 'function')
    throw new ApiError(
      'unsupported_parameter',
      `tools.${i}: ${shown(String(tool.type))} is not a tool of this server; only functions are`,
      `tools.${i}.type`,
    )
  const { name, description, parameters, strict } = tool
  if (typeof name !== 'string' || name === '')
    throw new ApiError('invalid_request', `you must provide tools.${i}.name`, `tools.${i}.name`)
  return {
    type: 'function',
    function: {
      name,
      ...(description != null && { description }),
      ...(parameters != null && { parameters }),
      ...(strict != null && { strict }),
    },
  }
}

/** What chat calls otherwise. */
const NAMES: readonly [chat: RegExp, here: string][] = [
  [/^messages(\.\d+)?/, 'input'],
  [/^max_(completion_)?tokens/, 'max_output_tokens'],
  [/^response_format(\.json_schema)?/, 'text.format'],
  [/^reasoning_effort/, 'reasoning.effort'],
  [/^verbosity/, 'text.verbosity'],
  [/^tools\.(\d+)\.function/, 'tools.$1'],
  [/^logprobs/, 'include'],
]

/** An error about a chat body as this API's client is told it. */
export function renamed(error: unknown): unknown {
  if (!(error instanceof ApiError) || error.param === null) return error
  const { param } = error
  const found = NAMES.find(([chat]) => chat.test(param))
  return found ? error.about(param.replace(...found), param) : error
}

/** The items without `left` turns of the oldest: a turn begins with what somebody else than the assistant says, so that no call loses its output. System messages stay. */
export function withoutOldest(items: readonly Item[], left: number): Item[] {
  const starts = turnStarts(items)
  const from = left < starts.length ? starts[left] : items.length
  return items.filter((item, i) => i >= from || item.role === 'system' || item.role === 'developer')
}

export function turnStarts(items: readonly Item[]): number[] {
  const starts: number[] = []
  for (const [i, item] of items.entries()) if (item.role === 'user') starts.push(i)
  if (starts[0] !== 0) starts.unshift(0)
  return starts
}
