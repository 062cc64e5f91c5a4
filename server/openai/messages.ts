/** A chat request's messages, as the template takes them: content parts joined, what is no text refused, arguments of calls as objects. (vLLM's chat_utils does the same.) */
import { ApiError } from '../errors.ts'
import type { ChatMessage, Conversation, Limits } from '../types.ts'
import { type Body, given, shown } from './parameters.ts'

interface Part {
  type: string
  text?: unknown
  refusal?: unknown
}

export function messagesOf(body: Body): ChatMessage[] {
  return (body.messages as Record<string, unknown>[]).map((message, i) => {
    if (!('content' in message) && message.role !== 'assistant')
      throw new ApiError('invalid_request', `you must provide messages.${i}.content`, `messages.${i}.content`)
    const content = contentOf(message.content, `messages.${i}.content`)
    const calls = Array.isArray(message.tool_calls) ? { tool_calls: message.tool_calls.map(withArguments) } : {}
    // Templates know the older name of the two.
    const reasoning = message.reasoning_content ?? message.reasoning
    const thought = typeof reasoning === 'string' ? { reasoning_content: reasoning } : {}
    return { ...message, ...calls, ...thought, role: message.role as string, content }
  })
}

/** On the wire a call's arguments are a text of JSON; templates write or walk the object. What is none becomes an empty one. */
function withArguments(call: unknown): unknown {
  const { function: called } = (call ?? {}) as { function?: { arguments?: unknown } }
  if (typeof called !== 'object' || called === null || typeof called.arguments !== 'string') return call
  return { ...(call as object), function: { ...called, arguments: objectOf(called.arguments) } }
}

function objectOf(json: string): object {
  try {
    const value = JSON.parse(json)
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : {}
  } catch {
    return {}
  }
}

/** None is empty: templates trim and join what they take for text. */
function contentOf(content: unknown, param: string): string {
  if (content === null || content === undefined || typeof content === 'string') return content ?? ''
  return (content as Part[])
    .map((part, i) => {
      if (part.type !== 'text' && part.type !== 'refusal')
        throw new ApiError(
          'unsupported_parameter',
          `${param}.${i}: content parts of type ${shown(part.type)} are not supported; this model takes text`,
          `${param}.${i}.type`,
        )
      const field = part.type as 'text' | 'refusal'
      const text = part[field]
      if (typeof text !== 'string')
        throw new ApiError('invalid_request', `${param}.${i}.${field} must be a string`, `${param}.${i}.${field}`)
      return text
    })
    .join('\n')
}

/** What templates are told beside the messages: hints of the body's own fields too, which a template that does not know them leaves unused. */
function kwargsOf(body: Body): Record<string, unknown> | undefined {
  const effort = given<string | undefined>(body, 'reasoning_effort', undefined)
  const thinking = given<boolean | undefined>(body, 'enable_thinking', effort === 'none' ? false : undefined)
  const kwargs = given<Record<string, unknown> | undefined>(body, 'chat_template_kwargs', undefined)
  if (effort === undefined && thinking === undefined) return kwargs
  return {
    ...(effort !== undefined && { reasoning_effort: effort }),
    ...(thinking !== undefined && { enable_thinking: thinking }),
    ...kwargs,
  }
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
    tools: given<unknown[]>(body, 'tools', []).length > 0 ? (body.tools as unknown[]) : undefined,
    kwargs: kwargsOf(body),
  }
  return { messages, options, template: given<string | undefined>(body, 'chat_template', undefined) }
}
