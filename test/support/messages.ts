/** Messages as their readers put them together, from texts that come in any pieces. */
import type { MessageDelta, MessageReader } from '../../server/openai/message/delta.ts'
import type { MessageFormats } from '../../server/openai/message/formats.ts'
import { type MessageRequest, messageReaderFor } from '../../server/openai/message/reader-for.ts'
import type { ToolDefinition } from '../../server/openai/message/tool-use.ts'

export interface ReadMessage {
  reasoning: string
  content: string
  calls: { name: string; arguments: string; id: string }[]
}

/** Tools that the tests' models know. */
export const TOOLS: ToolDefinition[] = [
  {
    name: 'get_weather',
    description: 'The weather of a place',
    parameters: {
      type: 'object',
      properties: {
        city: { type: 'string' },
        days: { type: 'integer' },
        wind: { type: 'boolean' },
        scale: { type: 'number' },
        near: { type: 'array', items: { type: 'string' } },
        at: { anyOf: [{ $ref: '#/$defs/Place' }, { type: 'null' }] },
        note: { type: ['string', 'null'] },
      },
      required: ['city'],
      $defs: { Place: { type: 'object', properties: { lat: { type: 'number' } } } },
    },
  },
  { name: 'now' },
]

/** A tokenizer that has one token for each UTF-16 unit. */
export const units = {
  longestToken: 1,
  decode: (ids: ArrayLike<number>) => String.fromCharCode(...Array.from(ids)),
  detokenizer: () => ({ push: (ids: ArrayLike<number>) => String.fromCharCode(...Array.from(ids)), flush: () => '' }),
  token: (id: number) => ({ text: String.fromCharCode(id), bytes: [] }),
  tokenString: (id: number) => String.fromCharCode(id),
}

export const idsOf = (text: string) => Array.from({ length: text.length }, (_, i) => text.charCodeAt(i))

export function readerOf(formats: MessageFormats, request: Partial<MessageRequest> = {}): MessageReader {
  const reading = messageReaderFor(
    { formats, tokenizer: units },
    {
      use: formats.tools && { tools: TOOLS, choice: 'auto', parallel: true },
      includeReasoning: true,
      whole: false,
      promptIds: [],
      continues: false,
      ...request,
    },
  )
  if (!reading) throw new Error('there is nothing to be read')
  return reading.reader()
}

export function add(message: ReadMessage, { reasoning, content, toolCalls }: MessageDelta): void {
  message.reasoning += reasoning ?? ''
  message.content += content ?? ''
  for (const { index, id, name, arguments: text } of toolCalls ?? []) {
    if (id !== undefined) {
      if (index !== message.calls.length) throw new Error(`call ${index} comes after ${message.calls.length} others`)
      message.calls.push({ id, name: name as string, arguments: '' })
    }
    message.calls[index].arguments += text ?? ''
  }
}

/** The message of these pieces. */
export function messageOf(reader: MessageReader, pieces: Iterable<string>): ReadMessage {
  const message: ReadMessage = { reasoning: '', content: '', calls: [] }
  for (const piece of pieces) add(message, reader.push(piece, idsOf(piece)))
  add(message, reader.finish())
  return message
}

/** Every way to cut the text in two, the text as one, and in its units. */
export function* cutsOf(text: string): Generator<string[]> {
  for (let at = 0; at <= text.length; at++) yield [text.slice(0, at), text.slice(at)]
  yield [...idsOf(text)].map((unit) => String.fromCharCode(unit))
}
