/** A Responses API's input: its items checked, and as the messages of a chat. */
import { ApiError } from '../errors.ts'
import { shown } from '../openai/parameters.ts'
import { type Item, newId } from './response.ts'

type Fields = Record<string, unknown>

/** A chat's message, as bodies of /v1/chat/completions have them. */
export type Message = { role: string } & Fields

const invalid = (message: string, param: string) => new ApiError('invalid_request', message, param)

/** Roles of messages. */
const ROLES = ['user', 'assistant', 'system', 'developer']

/** Types of content that are text, and the field that holds it. */
const TEXTS: Record<string, 'text' | 'refusal'> = {
  input_text: 'text',
  output_text: 'text',
  text: 'text',
  refusal: 'refusal',
  summary_text: 'text',
  reasoning_text: 'text',
}

/** `find`: an item that a reference names, of what the tenant has stored. Throws ApiError, which names the item that is wrong. */
export function itemsOf(input: unknown, find: (id: string) => Item | undefined): Item[] {
  if (input === undefined || input === null) return []
  if (typeof input === 'string')
    return [{ id: newId('msg'), type: 'message', role: 'user', content: [{ type: 'input_text', text: input }] }]
  return (input as Fields[]).map((item, i) => itemOf(item, `input.${i}`, find))
}

function itemOf(given: Fields, param: string, find: (id: string) => Item | undefined): Item {
  const type: unknown = given.type ?? (given.role === undefined && typeof given.id === 'string' ? 'item_reference' : 'message')
  switch (type) {
    case 'message':
      return messageItem(given, param)
    case 'function_call': {
      for (const field of ['call_id', 'name', 'arguments']) requireText(given, field, param)
      return { ...given, type: 'function_call', id: idOf(given, 'fc') }
    }
    case 'function_call_output': {
      requireText(given, 'call_id', param)
      textOf(given.output, `${param}.output`)
      return { ...given, type: 'function_call_output', id: idOf(given, 'fco') }
    }
    case 'reasoning': {
      for (const field of ['summary', 'content']) if (given[field] != null) textOf(given[field], `${param}.${field}`)
      return { ...given, type: 'reasoning', id: idOf(given, 'rs') }
    }
    case 'item_reference': {
      const found = find(String(given.id))
      if (found) return found
      throw invalid(
        `${param}: no item with id ${shown(String(given.id))} is stored (responses with \`store\` false keep none); send the item itself`,
        `${param}.id`,
      )
    }
    default:
      throw new ApiError(
        'unsupported_parameter',
        `${param}: items of type ${shown(String(type))} are not supported; message, function_call, function_call_output, reasoning and item_reference are`,
        `${param}.type`,
      )
  }
}

function messageItem(given: Fields, param: string): Item {
  if (!ROLES.includes(given.role as string)) throw invalid(`${param}.role must be one of ${ROLES.join(', ')}`, `${param}.role`)
  textOf(given.content, `${param}.content`)
  return { ...given, type: 'message', id: idOf(given, 'msg') }
}

const idOf = ({ id }: Fields, prefix: string) => (typeof id === 'string' && id !== '' ? id : newId(prefix))

function requireText(item: Fields, field: string, param: string): void {
  if (item[field] === undefined) throw invalid(`you must provide ${param}.${field}`, `${param}.${field}`)
  if (typeof item[field] !== 'string') throw invalid(`${param}.${field} must be a string`, `${param}.${field}`)
}

/** Of a text or of parts of text. */
function textOf(content: unknown, param: string): string {
  if (typeof content === 'string') return content
  if (!Array.isArray(content)) throw invalid(`${param} must be a string or a list of parts of text`, param)
  return content.map((part, i) => partText(part, `${param}.${i}`)).join('\n')
}

function partText(part: unknown, param: string): string {
  if (typeof part !== 'object' || part === null) throw invalid(`${param} must be an object`, param)
  const { type } = part as Fields
  if (typeof type !== 'string') throw invalid(`${param}.type must be a string`, `${param}.type`)
  const field = Object.hasOwn(TEXTS, type) ? TEXTS[type] : undefined
  if (!field)
    throw new ApiError(
      'unsupported_parameter',
      `${param}: content of type ${shown(type)} is not supported; this model takes text`,
      `${param}.type`,
    )
  const text = (part as Fields)[field]
  if (typeof text !== 'string') throw invalid(`${param}.${field} must be a string`, `${param}.${field}`)
  return text
}

/** The messages of checked items. What the assistant thought, said and called between two others' words is one message. */
export function messagesOfItems(items: readonly Item[]): Message[] {
  const messages: Message[] = []
  let open: Message | undefined
  const assistant = (): Message => {
    if (!open) {
      open = { role: 'assistant', content: '' }
      messages.push(open)
    }
    return open
  }
  for (const item of items) {
    if (item.type === 'reasoning') {
      const content = item.content as unknown[] | null | undefined
      const thought = textOf(content?.length ? content : (item.summary ?? []), 'input')
      // What came encrypted from elsewhere cannot be read.
      if (thought === '') continue
      if (open?.content || open?.tool_calls) open = undefined
      assistant().reasoning = thought
    } else if (item.type === 'function_call') {
      const message = assistant()
      message.tool_calls ??= []
      const { call_id: id, name, arguments: text } = item
      ;(message.tool_calls as object[]).push({ id, type: 'function', function: { name, arguments: text } })
    } else if (item.type === 'function_call_output') {
      open = undefined
      messages.push({ role: 'tool', tool_call_id: item.call_id, content: textOf(item.output, 'input') })
    } else if (item.role === 'assistant') {
      if (open?.content || open?.tool_calls) open = undefined
      assistant().content = textOf(item.content, 'input')
    } else {
      open = undefined
      messages.push({ role: item.role as string, content: textOf(item.content, 'input') })
    }
  }
  return messages
}
