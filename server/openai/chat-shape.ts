/** How chat completions look, whole and as a stream's chunks; where messages are read for calls and reasoning, as what was read. */
import type { LogprobRows } from '../../runtime/index.ts'
import { slicedNumbers } from '../json.ts'
import type { Serving } from '../types.ts'
import type { ChoiceRequest, Piece } from './generation.ts'
import { chatLogprobs } from './logprobs.ts'
import type { MessageDelta, MessageReader, ToolCallDelta } from './message/delta.ts'
import type { MessageReading } from './message/reader-for.ts'
import type { Body } from './parameters.ts'
import { Shape } from './shape.ts'

interface ToolCall {
  id: string
  type: 'function'
  function: { name: string; arguments: string }
}

/** A choice's message as far as it was read. */
interface Message {
  reader: MessageReader
  reasoning: string
  content: string
  calls: ToolCall[]
  called: boolean
}

export class ChatShape extends Shape {
  readonly object = 'chat.completion'
  readonly chunkObject = 'chat.completion.chunk'
  private readonly reading: MessageReading | undefined
  /** Empty: messages are their text. */
  private readonly messages: Message[]

  constructor(
    serving: Serving,
    body: Body,
    requests: ChoiceRequest[],
    echoed: (index: number) => string,
    reading: MessageReading | undefined,
  ) {
    super(serving, body, requests, echoed)
    this.reading = reading
    this.messages = reading
      ? requests.map(() => ({ reader: reading.reader(), reasoning: '', content: '', calls: [], called: false }))
      : []
  }

  chunks(index: number, piece: Piece): object[] {
    const items: object[] = []
    if (piece.first)
      items.push({
        index,
        delta: { role: 'assistant', content: this.whole[index].text },
        logprobs: null,
        finish_reason: null,
      })
    const logprobs = piece.logprobs ? this.logprobs(index, piece.logprobs) : null
    if (piece.promptLogprobs) this.whole[index].promptLogprobs = piece.promptLogprobs
    const delta = this.messages.length > 0 ? deltaOf(this.read(index, piece)) : piece.text === '' ? {} : { content: piece.text }
    if (Object.keys(delta).length > 0 || logprobs || piece.finish || this.wantsIds)
      items.push({
        index,
        delta,
        logprobs,
        finish_reason: this.finishReason(index, piece.finish),
        ...(piece.finish && { stop_reason: piece.stopReason ?? null }),
        ...this.tail(index, piece),
      })
    return items
  }

  override collect(index: number, piece: Piece): void {
    super.collect(index, piece)
    if (this.messages.length === 0) return
    const message = this.messages[index]
    const { reasoning, content, toolCalls } = this.read(index, piece)
    message.reasoning += reasoning ?? ''
    message.content += content ?? ''
    for (const { index: at, id, name, arguments: text } of toolCalls ?? []) {
      if (id !== undefined) message.calls.push({ id, type: 'function', function: { name: name as string, arguments: '' } })
      message.calls[at].function.arguments += text ?? ''
    }
  }

  override enough(index: number): boolean {
    return this.messages[index]?.reader.enough === true
  }

  override reasoningTokens(index?: number): number {
    const counted = index === undefined ? this.messages : this.messages.slice(index, index + 1)
    return counted.reduce((sum, { reader }) => sum + reader.reasoningTokens, 0)
  }

  /** The prompt is every choice's, and so are its logprobs. */
  extra(): object {
    return {
      ...(this.wantsIds && { prompt_token_ids: slicedNumbers(this.requests[0].promptIds) }),
      ...this.promptLogprobs(0, this.whole.find((piece) => piece.promptLogprobs)?.promptLogprobs),
    }
  }

  protected content(text: string, index: number): object {
    if (this.messages.length === 0) return { message: { role: 'assistant', content: text, refusal: null } }
    const { reasoning, content, calls } = this.messages[index]
    const said = this.echoed(index) + content
    return {
      message: {
        role: 'assistant',
        ...(reasoning !== '' && { reasoning, reasoning_content: reasoning }),
        content: said === '' && (calls.length > 0 || reasoning !== '') ? null : said,
        refusal: null,
        ...(calls.length > 0 && { tool_calls: calls }),
      },
    }
  }

  protected override finishReason(index: number, finish: Piece['finish']): string | null {
    const message = this.messages[index]
    // Clients would carry out what the model never finished.
    const called = finish === 'stop' && message?.called && !message.reader.brokenOff
    return (called ? this.reading?.calledFinish : finish) ?? null
  }

  protected logprobs(_index: number, rows: LogprobRows): object | null {
    return this.asked('logprobs') ? chatLogprobs(this.tokens, rows) : null
  }

  protected tail(_index: number, { tokens }: Pick<Piece, 'tokens'>): object {
    return this.wantsIds ? { token_ids: slicedNumbers(tokens) } : {}
  }

  private read(index: number, piece: Piece): MessageDelta {
    const message = this.messages[index]
    const delta = message.reader.push(piece.text, piece.tokens)
    const all = piece.finish ? joined(delta, message.reader.finish()) : delta
    message.called ||= all.toolCalls !== undefined
    return all
  }
}

function joined(first: MessageDelta, second: MessageDelta): MessageDelta {
  const text = (field: 'reasoning' | 'content') =>
    first[field] === undefined && second[field] === undefined ? {} : { [field]: (first[field] ?? '') + (second[field] ?? '') }
  const toolCalls = [...(first.toolCalls ?? []), ...(second.toolCalls ?? [])]
  return { ...text('reasoning'), ...text('content'), ...(toolCalls.length > 0 && { toolCalls }) }
}

function deltaOf({ reasoning, content, toolCalls }: MessageDelta): object {
  return {
    ...(reasoning !== undefined && { reasoning, reasoning_content: reasoning }),
    ...(content !== undefined && { content }),
    ...(toolCalls && { tool_calls: toolCalls.map(callDelta) }),
  }
}

function callDelta({ index, id, name, arguments: text = '' }: ToolCallDelta): object {
  return id === undefined
    ? { index, function: { arguments: text } }
    : { index, id, type: 'function', function: { name, arguments: text } }
}
