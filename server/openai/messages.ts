/** A chat request's messages, as the template takes them: content parts joined, what is no text refused. */
import { ApiError } from '../errors.ts'
import type { ChatMessage, Conversation, Limits } from '../types.ts'
import { type Body, given, shown } from './parameters.ts'

interface Part {
  type: string
  text?: unknown
}

export function messagesOf(body: Body): ChatMessage[] {
  return (body.messages as Record<string, unknown>[]).map((message, i) => {
    if (!('content' in message) && message.role !== 'assistant')
      throw new ApiError('invalid_request', `you must provide messages.${i}.content`, `messages.${i}.content`)
    return { ...message, role: message.role as string, content: contentOf(message.content, `messages.${i}.content`) }
  })
}

function contentOf(content: unknown, param: string): string | null {
  if (content === null || content === undefined || typeof content === 'string') return content ?? null
  return (content as Part[])
    .map((part, i) => {
      if (part.type !== 'text' && part.type !== 'refusal')
        throw new ApiError(
          'unsupported_parameter',
          `${param}.${i}: content parts of type ${shown(part.type)} are not supported; this model takes text`,
          `${param}.${i}.type`,
        )
      const text = part.text
      if (typeof text !== 'string')
        throw new ApiError('invalid_request', `${param}.${i}.text must be a string`, `${param}.${i}.text`)
      return text
    })
    .join('\n')
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
    kwargs: given<Record<string, unknown> | undefined>(body, 'chat_template_kwargs', undefined),
  }
  return { messages, options, template: given<string | undefined>(body, 'chat_template', undefined) }
}
