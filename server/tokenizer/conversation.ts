/** A conversation as a template takes it: parts or text, whose role, and the message that the answer goes on with. */
import { TemplateError } from '../errors.ts'
import type { ContentFormat } from '../jinja/content-format.ts'
import { strip } from '../jinja/text.ts'
import type { ChatMessage } from '../types.ts'

/** Marks the end of the last message while it renders; the space after it shows whether the template trims messages. (transformers' own mark.) */
const MARK = 'CONTINUE_FINAL_MESSAGE_TAG'
const MARK_AND_SPACE = `${MARK} `

/** Content that the template knows how to read, and roles. */
export function shownTo(format: ContentFormat, source: string, messages: readonly ChatMessage[]): ChatMessage[] {
  const knowsDeveloper = source.includes('developer')
  return messages.map((message) => {
    const role = message.role === 'developer' && !knowsDeveloper ? 'system' : message.role
    return { ...message, role, content: contentFor(format, message.content) }
  })
}

function contentFor(format: ContentFormat, content: ChatMessage['content']): ChatMessage['content'] {
  if (Array.isArray(content)) return format.parts ? content : content.map(({ text }) => text).join('\n')
  // A template that only knows lists would go through a text letter by letter.
  return format.text || content === null || content === '' ? content : [{ type: 'text', text: content }]
}

/** The messages with the mark at the end of the last one, and that one's text. Throws TemplateError where there is nothing to continue. */
export function marked(messages: readonly ChatMessage[]): { messages: ChatMessage[]; text: string } {
  const final = messages.at(-1)
  const content = final?.content
  const place = Array.isArray(content) ? content.findLastIndex((part) => typeof part.text === 'string') : -1
  if (!final || (typeof content !== 'string' && place < 0))
    throw new TemplateError('continue_final_message needs a last message with text to continue')
  const before = messages.slice(0, -1)
  if (typeof content === 'string')
    return { messages: [...before, { ...final, content: content + MARK_AND_SPACE }], text: content }
  const parts = content as { type: 'text'; text: string }[]
  const { text } = parts[place]
  return {
    messages: [...before, { ...final, content: parts.with(place, { ...parts[place], text: text + MARK_AND_SPACE }) }],
    text,
  }
}

/**
 * The prompt up to the end of the last message's own text; where the template trims messages, the text is trimmed. Throws TemplateError where the template leaves (part of) it out:
 * the answer would go on with something else.
 */
export function cutAtMark(rendered: string, text: string): string {
  const at = rendered.lastIndexOf(MARK)
  if (at < 0 || !rendered.includes(strip(text, 'both')))
    throw new TemplateError(
      'continue_final_message: the chat template does not show the last message as it is; leave continue_final_message out, or the part of the message that the template drops',
    )
  const prompt = rendered.slice(0, at)
  return rendered.startsWith(MARK_AND_SPACE, at) ? prompt : strip(prompt, 'right')
}
