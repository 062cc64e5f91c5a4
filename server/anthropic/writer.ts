/** Writes a message as Anthropic's content blocks, telling each step as its event. */
import { randomBytes } from 'node:crypto'
import type { ToolCallDelta } from '../openai/message/delta.ts'
import type { Ending, MessageParts } from '../openai/message/reading.ts'
import type { Usage } from '../openai/usage.ts'

export interface MessageEvent {
  type: string
  [field: string]: unknown
}

export type Block =
  | { type: 'text'; text: string }
  | { type: 'thinking'; thinking: string; signature: string }
  | { type: 'tool_use'; id: string; name: string; input: unknown }

export type StopReason = 'end_turn' | 'max_tokens' | 'stop_sequence' | 'tool_use'

export interface Message {
  id: string
  type: 'message'
  role: 'assistant'
  model: string
  content: Block[]
  stop_reason: StopReason | null
  stop_sequence: string | null
  usage: object
}

/** A prompt's tokens that the cache held are counted apart. */
export function messageUsage(usage: Usage) {
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0
  return {
    input_tokens: usage.prompt_tokens - cached,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: cached,
    output_tokens: usage.completion_tokens,
  }
}

export class MessageWriter implements MessageParts {
  readonly message: Message
  private readonly emit: (event: MessageEvent) => void
  /** Which call the last block is, and the text of its arguments. */
  private call: { index: number; text: string } | undefined
  private open = false

  constructor(model: string, emit: (event: MessageEvent) => void) {
    this.emit = emit
    this.message = {
      id: `msg_${randomBytes(12).toString('hex')}`,
      type: 'message',
      role: 'assistant',
      model,
      content: [],
      stop_reason: null,
      stop_sequence: null,
      usage: {},
    }
  }

  start(usage: Usage): void {
    const { message } = this
    this.emit({ type: 'message_start', message: { ...message, content: [], usage: messageUsage(usage) } })
    this.emit({ type: 'ping' })
  }

  reasoning(text: string): void {
    const block = this.block('thinking') ?? this.begin({ type: 'thinking', thinking: '', signature: '' })
    block.thinking += text
    this.delta({ type: 'thinking_delta', thinking: text })
  }

  content(text: string): void {
    const block = this.block('text') ?? this.begin({ type: 'text', text: '' })
    block.text += text
    this.delta({ type: 'text_delta', text })
  }

  toolCall({ index, id, name = '', arguments: text = '' }: ToolCallDelta): void {
    if (this.call?.index !== index || !this.block('tool_use')) {
      this.begin({ type: 'tool_use', id: id ?? `toolu_${randomBytes(12).toString('hex')}`, name, input: {} })
      this.call = { index, text: '' }
    }
    if (text === '' || !this.call) return
    this.call.text += text
    this.delta({ type: 'input_json_delta', partial_json: text })
  }

  /** The whole message has come. */
  end({ finish, stopReason, brokenOff }: Ending, usage: Usage): void {
    this.close()
    const { message } = this
    // Clients would carry out what the model never finished.
    const called = !brokenOff && message.content.some(({ type }) => type === 'tool_use')
    const stopped = finish === 'stop' && typeof stopReason === 'string'
    message.stop_reason = finish === 'length' ? 'max_tokens' : called ? 'tool_use' : stopped ? 'stop_sequence' : 'end_turn'
    message.stop_sequence = message.stop_reason === 'stop_sequence' ? (stopReason as string) : null
    message.usage = messageUsage(usage)
    this.emit({
      type: 'message_delta',
      delta: { stop_reason: message.stop_reason, stop_sequence: message.stop_sequence },
      usage: message.usage,
    })
    this.emit({ type: 'message_stop' })
  }

  /** The block that grows, if it is of that type. */
  private block<T extends Block['type']>(type: T): Extract<Block, { type: T }> | undefined {
    const last = this.message.content.at(-1)
    return this.open && last?.type === type ? (last as Extract<Block, { type: T }>) : undefined
  }

  private begin<T extends Block>(block: T): T {
    this.close()
    this.open = true
    const index = this.message.content.push(block) - 1
    this.emit({ type: 'content_block_start', index, content_block: { ...block } })
    return block
  }

  private delta(delta: object): void {
    this.emit({ type: 'content_block_delta', index: this.message.content.length - 1, delta })
  }

  private close(): void {
    if (!this.open) return
    this.open = false
    const last = this.message.content.at(-1)
    if (last?.type === 'tool_use' && this.call) last.input = parsed(this.call.text)
    // Clients wait for one; there is nothing that could be checked by it.
    if (last?.type === 'thinking') this.delta({ type: 'signature_delta', signature: '' })
    this.emit({ type: 'content_block_stop', index: this.message.content.length - 1 })
    this.call = undefined
  }
}

/** Arguments as the object that they are; what max_tokens cut is none. */
function parsed(text: string): unknown {
  try {
    const value = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
}
