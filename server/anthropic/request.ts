/** From a body of Anthropic's Messages API to a chat body, and back from that one's errors. */
import { ApiError } from '../errors.ts'
import { type Body, given, shown } from '../openai/parameters.ts'

type Fields = Record<string, unknown>

const invalid = (message: string, param: string) => new ApiError('invalid_request', message, param)

/** Fields that Anthropic has and this server does not serve; empty ones change nothing. */
const UNSERVED = ['container', 'mcp_servers', 'inference_geo', 'speed'] as const

/** Refuses what is not served. Returns the body without what was empty of it. */
export function checkMessages(body: Body): Body {
  const rest = { ...body }
  for (const field of UNSERVED) {
    const value = rest[field]
    delete rest[field]
    if (value === undefined || value === null || (Array.isArray(value) && value.length === 0)) continue
    throw new ApiError('unsupported_parameter', `${field} is not supported by this server`, field)
  }
  return rest
}

/** Throws ApiError, which names Anthropic's fields. */
export function chatBodyOf(body: Body): Body {
  const messages = [...systemOf(body.system), ...(body.messages as Fields[]).flatMap(messagesOf)]
  const chat: Body = { model: body.model, messages, stream: given<boolean>(body, 'stream', false) }
  // An answer goes on with what is put into the assistant's mouth.
  const last = (body.messages as Fields[]).at(-1)
  if (last?.role === 'assistant') Object.assign(chat, { continue_final_message: true, add_generation_prompt: false })
  if (body.max_tokens != null) chat.max_tokens = body.max_tokens
  for (const field of ['temperature', 'top_p']) if (body[field] != null) chat[field] = body[field]
  // 0 is none to Anthropic's clients, as it is here.
  if (body.top_k != null) chat.top_k = body.top_k
  if (body.stop_sequences != null) chat.stop = body.stop_sequences
  const { user_id: user } = given<Fields>(body, 'metadata', {})
  if (user != null) chat.user = user
  addTools(chat, body)
  addThinking(chat, body)
  addFormat(chat, body)
  return chat
}

function systemOf(system: unknown): Fields[] {
  if (system === undefined || system === null) return []
  const content = textOf(system as string | Fields[], 'system')
  return content === '' ? [] : [{ role: 'system', content }]
}

function textOf(content: string | Fields[], param: string): string {
  if (typeof content === 'string') return content
  return content.map((block, i) => blockText(block, `${param}.${i}`)).join('\n')
}

function blockText(block: Fields, param: string): string {
  if (block.type !== 'text') throw unsupported(block, param, 'text is')
  return field(block, 'text', param)
}

const unsupported = ({ type }: Fields, param: string, served: string) =>
  new ApiError(
    'unsupported_parameter',
    `${param}: blocks of type ${shown(String(type))} are not supported here; ${served}`,
    `${param}.type`,
  )

function field(block: Fields, name: string, param: string): string {
  const value = block[name]
  if (typeof value === 'string') return value
  throw invalid(
    value === undefined ? `you must provide ${param}.${name}` : `${param}.${name} must be a string`,
    `${param}.${name}`,
  )
}

/** One message may be several of a chat: what tools answered stands in a message of its own each. */
function messagesOf(message: Fields, i: number): Fields[] {
  const { role, content } = message as { role: string; content: string | Fields[] }
  const param = `messages.${i}.content`
  if (typeof content === 'string') return [{ role, content }]
  if (role === 'assistant') return [assistantMessage(content, param)]
  const messages: Fields[] = []
  let texts: string[] = []
  const say = () => {
    if (texts.length > 0) messages.push({ role, content: texts.join('\n') })
    texts = []
  }
  for (const [j, block] of content.entries()) {
    const at = `${param}.${j}`
    if (block.type === 'tool_result' && role === 'user') {
      say()
      const said = (block.content ?? '') as string | Fields[]
      const told = textOf(said, `${at}.content`)
      messages.push({
        role: 'tool',
        tool_call_id: field(block, 'tool_use_id', at),
        content: block.is_error ? `Error: ${told}` : told,
      })
    } else if (block.type === 'text') texts.push(field(block, 'text', at))
    else throw unsupported(block, at, role === 'user' ? 'text and tool_result are' : 'text is')
  }
  say()
  return messages.length > 0 ? messages : [{ role, content: '' }]
}

function assistantMessage(content: Fields[], param: string): Fields {
  const texts: string[] = []
  const thoughts: string[] = []
  const calls: object[] = []
  for (const [j, block] of content.entries()) {
    const at = `${param}.${j}`
    if (block.type === 'text') texts.push(field(block, 'text', at))
    else if (block.type === 'thinking') thoughts.push(field(block, 'thinking', at))
    else if (block.type === 'tool_use') {
      const { input = {} } = block
      if (typeof input !== 'object' || input === null) throw invalid(`${at}.input must be an object`, `${at}.input`)
      const called = { name: field(block, 'name', at), arguments: JSON.stringify(input) }
      calls.push({ id: field(block, 'id', at), type: 'function', function: called })
    } else if (block.type !== 'redacted_thinking') throw unsupported(block, at, 'text, thinking and tool_use are')
  }
  return {
    role: 'assistant',
    content: texts.join('\n'),
    ...(thoughts.length > 0 && { reasoning: thoughts.join('\n') }),
    ...(calls.length > 0 && { tool_calls: calls }),
  }
}

/** Anthropic's choices by chat's. */
const CHOICES: Record<string, string> = { auto: 'auto', any: 'required', none: 'none' }

function addTools(chat: Body, body: Body): void {
  const tools = given<Fields[]>(body, 'tools', []).map(toolOf)
  if (tools.length === 0) return
  const choice = given<Fields>(body, 'tool_choice', { type: 'auto' })
  chat.tools = tools
  chat.tool_choice =
    choice.type === 'tool'
      ? { type: 'function', function: { name: field(choice, 'name', 'tool_choice') } }
      : CHOICES[choice.type as string]
  if (choice.disable_parallel_tool_use) chat.parallel_tool_calls = false
}

function toolOf(tool: Fields, i: number): object {
  const { type = 'custom', name, description, input_schema: parameters } = tool
  if (type !== 'custom' && type !== null)
    throw new ApiError(
      'unsupported_parameter',
      `tools.${i}: ${shown(String(type))} is not a tool of this server; only those with an input_schema are`,
      `tools.${i}.type`,
    )
  if (typeof parameters !== 'object' || parameters === null)
    throw invalid(`you must provide tools.${i}.input_schema`, `tools.${i}.input_schema`)
  return { type: 'function', function: { name, ...(description != null && { description }), parameters } }
}

/** Templates that can switch reasoning take `enable_thinking`; the others have no use for it. */
function addThinking(chat: Body, body: Body): void {
  const { type } = given<Fields>(body, 'thinking', {})
  if (type !== undefined) chat.chat_template_kwargs = { enable_thinking: type !== 'disabled' }
  const { effort } = given<Fields>(body, 'output_config', {})
  if (effort != null) chat.reasoning_effort = effort
}

function addFormat(chat: Body, body: Body): void {
  const { format = body.output_format } = given<Fields>(body, 'output_config', {})
  if (format === undefined || format === null) return
  const { schema } = format as Fields
  if (typeof schema !== 'object' || schema === null)
    throw invalid('you must provide output_config.format.schema', 'output_config.format')
  chat.response_format = { type: 'json_schema', json_schema: { name: 'output', schema, strict: true } }
}

/** What chat calls otherwise. */
const NAMES: readonly [chat: RegExp, here: string][] = [
  [/^tools\.(\d+)\.function\.parameters/, 'tools.$1.input_schema'],
  [/^tools\.(\d+)\.function/, 'tools.$1'],
  [/^tool_choice\.function/, 'tool_choice'],
  [/^response_format(\.json_schema)?/, 'output_config.format'],
  [/^reasoning_effort/, 'output_config.effort'],
  [/^stop/, 'stop_sequences'],
]

/** An error about a chat body as this API's client is told it. */
export function renamed(error: unknown): unknown {
  if (!(error instanceof ApiError) || error.param === null) return error
  const { param } = error
  const found = NAMES.find(([chat]) => chat.test(param))
  return found ? error.about(param.replace(...found), param) : error
}
