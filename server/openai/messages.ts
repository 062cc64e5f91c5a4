/** A chat request's messages, as templates take them. (vLLM's chat_utils does the same.) */
import { ApiError } from '../errors.ts'
import { asObject, exactField, parseExactly } from '../exact-json.ts'
import type { ChatMessage, Conversation, Limits, TextPart } from '../types.ts'
import { type Body, given, shown } from './parameters.ts'

/** Where a part of this type has its text. */
const TEXT_OF: { [type: string]: string } = {
  text: 'text',
  input_text: 'text',
  output_text: 'text',
  refusal: 'refusal',
  thinking: 'thinking',
}

/** Fields of a request that are variables of the template too. */
const HINTS = ['tool_choice', 'reasoning_effort']

/** Fields that clients send as null where they mean that there is none; templates ask whether they are there. */
const ABSENT_IF_NULL = [
  'name',
  'tool_calls',
  'tool_call_id',
  'function_call',
  'refusal',
  'audio',
  'annotations',
  'reasoning',
  'reasoning_content',
]

export function messagesOf(body: Body): ChatMessage[] {
  return (exactField(body, 'messages') as unknown[]).map((one, i) => {
    const message = asObject(one)
    if (!('content' in message) && message.role !== 'assistant')
      throw new ApiError('invalid_request', `you must provide messages.${i}.content`, `messages.${i}.content`)
    const content = contentOf(message.content, `messages.${i}.content`)
    const prepared: ChatMessage = { ...message, role: message.role as string, content }
    for (const field of ABSENT_IF_NULL) if (prepared[field] === null) delete prepared[field]
    withCalls(prepared)
    if (prepared.role === 'assistant') withReasoning(prepared)
    return prepared
  })
}

/** The text of a message, whatever it came in. */
export function textOf({ content }: ChatMessage): string {
  return Array.isArray(content) ? content.map(({ text }) => text).join('\n') : (content ?? '')
}

/** No calls are none: templates ask for the field. */
function withCalls(message: ChatMessage): void {
  const { tool_calls: calls } = message
  if (!Array.isArray(calls)) return
  if (calls.length === 0) delete message.tool_calls
  else message.tool_calls = calls.map(withArguments)
}

/** On the wire a call's arguments are a text of JSON; templates write or walk the object. What is none becomes an empty one. */
function withArguments(call: unknown): unknown {
  const { function: called } = asObject(call ?? {}) as { function?: unknown }
  if (typeof called !== 'object' || called === null) return call
  const named = asObject(called)
  const { arguments: written = null } = named
  if (typeof written !== 'string' && written !== null) return call
  return { ...asObject(call), function: { ...named, arguments: written === null ? {} : objectOf(written) } }
}

function objectOf(json: string): object {
  try {
    const value = parseExactly(json)
    return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Number) ? value : {}
  } catch {
    return {}
  }
}

/** vLLM's name since 2026 and the one before: templates know either. */
function withReasoning(message: ChatMessage): void {
  const reasoning = message.reasoning ?? message.reasoning_content
  if (reasoning === undefined) return
  message.reasoning = reasoning
  message.reasoning_content = reasoning
}

/** None is empty: templates trim and join what they take for text. */
function contentOf(content: unknown, param: string): string | TextPart[] {
  if (content === null || content === undefined || typeof content === 'string') return content ?? ''
  return (content as unknown[]).flatMap((one, i): TextPart[] => {
    const part = asObject(one)
    const type = part.type as string
    const field = Object.hasOwn(TEXT_OF, type) ? TEXT_OF[type] : undefined
    if (field === undefined)
      throw new ApiError(
        'unsupported_parameter',
        `${param}.${i}: content parts of type ${shown(type)} are not supported; this model takes text`,
        `${param}.${i}.type`,
      )
    const text = part[field]
    if (typeof text !== 'string')
      throw new ApiError('invalid_request', `${param}.${i}.${field} must be a string`, `${param}.${i}.${field}`)
    return [{ type: 'text', text }]
  })
}

/** A list with something in it. */
function listOf(body: Body, field: string): unknown[] | undefined {
  const list = exactField(body, field)
  return Array.isArray(list) && list.length > 0 ? list : undefined
}

/** Variables for the template: what a request says beside its messages that some templates ask for, and chat_template_kwargs. */
function variablesOf(body: Body): Record<string, unknown> {
  const said = HINTS.filter((name) => body[name] !== undefined && body[name] !== null)
  const hints: Record<string, unknown> = Object.fromEntries(said.map((name) => [name, exactField(body, name)]))
  // Who wants no effort wants no thinking, as templates that know only that name have it.
  const thinking = given<boolean | undefined>(body, 'enable_thinking', body.reasoning_effort === 'none' ? false : undefined)
  if (thinking !== undefined) hints.enable_thinking = thinking
  return { ...hints, ...asObject(exactField(body, 'chat_template_kwargs') ?? {}) }
}

/** What a body says of its conversation. */
export function conversationOf(body: Body, { trustRequestChatTemplate }: Limits): Conversation {
  if (!trustRequestChatTemplate && body.chat_template != null)
    throw new ApiError(
      'unsupported_parameter',
      'chat_template: this server takes no templates from requests (--no-trust-request-chat-template); leave it out',
      'chat_template',
    )
  const continueFinalMessage = given<boolean>(body, 'continue_final_message', false)
  const addGenerationPrompt = given<boolean>(body, 'add_generation_prompt', !continueFinalMessage)
  if (continueFinalMessage && addGenerationPrompt)
    throw new ApiError(
      'invalid_request',
      'continue_final_message and add_generation_prompt cannot both be true',
      'continue_final_message',
    )
  const messages = messagesOf(body)
  const options = {
    addGenerationPrompt,
    continueFinalMessage,
    tools: listOf(body, 'tools'),
    documents: listOf(body, 'documents'),
    kwargs: variablesOf(body),
  }
  return { messages, options, template: given<string | undefined>(body, 'chat_template', undefined) }
}
