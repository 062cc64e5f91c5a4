/** Writes a message as the Responses API's output items, telling each step as its event. */
import type { LogprobRows } from '../../runtime/index.ts'
import type { ToolCallDelta } from '../openai/message/delta.ts'
import type { Ending, MessageParts } from '../openai/message/reading.ts'
import type { Usage } from '../openai/usage.ts'
import { type Item, newId, type ResponseObject, responseUsage, writable } from './response.ts'

export interface ResponseEvent {
  type: string
  sequence_number: number
  [field: string]: unknown
}

/** An output item that still grows. */
type Open =
  | { kind: 'reasoning' | 'message'; item: Item; index: number; text: string; logprobs: object[] }
  | { kind: 'call'; item: Item; index: number; call: number; text: string }

/** What the two kinds of texts are called. */
const TEXTS = {
  message: { part: 'output_text', event: 'response.output_text' },
  reasoning: { part: 'reasoning_text', event: 'response.reasoning_text' },
} as const

export class ResponseWriter implements MessageParts {
  readonly response: ResponseObject
  private readonly emit: (event: ResponseEvent) => void
  /** Undefined: none are asked for. */
  private readonly logprobsOf: ((rows: LogprobRows) => object[]) | undefined
  private sequence = 0
  private open: Open | undefined

  constructor(response: ResponseObject, emit: (event: ResponseEvent) => void, logprobsOf?: (rows: LogprobRows) => object[]) {
    this.response = response
    this.emit = emit
    this.logprobsOf = logprobsOf
  }

  /** The first events. A queued response is told to be one until its first token. */
  start(): void {
    this.tell('response.created', { response: this.snapshot() })
    if (this.response.status === 'queued') this.tell('response.queued', { response: this.snapshot() })
    else this.tell('response.in_progress', { response: this.snapshot() })
  }

  /** A queued response is computed from now on. */
  progress(): void {
    if (this.response.status !== 'queued') return
    this.response.status = 'in_progress'
    this.tell('response.in_progress', { response: this.snapshot() })
  }

  reasoning(text: string): void {
    this.text('reasoning', text, [])
  }

  content(text: string, rows: readonly LogprobRows[]): void {
    this.text('message', text, this.logprobsOf ? rows.flatMap(this.logprobsOf) : [])
  }

  toolCall({ index, id, name = '', arguments: text = '' }: ToolCallDelta): void {
    if (this.open?.kind !== 'call' || this.open.call !== index) this.begin(index, id ?? newId('call'), name)
    const { open } = this
    if (text === '' || open?.kind !== 'call') return
    open.text += text
    this.tell('response.function_call_arguments.delta', { item_id: open.item.id, output_index: open.index, delta: text })
  }

  /** The whole message has come. */
  end({ finish, brokenOff }: Ending, usage: Usage): void {
    const cut = finish === 'length'
    // An answer without a token is a message too.
    if (!this.open && this.response.output.length === 0) this.text('message', '', [])
    this.close(cut || (brokenOff && this.open?.kind === 'call') ? 'incomplete' : 'completed')
    if (cut) this.response.incomplete_details = { reason: 'max_output_tokens' }
    this.settle(cut ? 'incomplete' : 'completed', usage)
  }

  /** Prepared, with nothing generated. */
  prepared(usage: Usage): void {
    this.settle('completed', usage)
  }

  fail(code: string, message: string, usage: Usage): void {
    this.close('incomplete')
    this.response.error = { code, message }
    this.settle('failed', usage)
  }

  cancel(usage: Usage): void {
    this.close('incomplete')
    this.settle('cancelled', usage)
  }

  private settle(status: 'completed' | 'incomplete' | 'failed' | 'cancelled', usage: Usage): void {
    const { response } = this
    response.status = status
    response.completed_at = status === 'completed' ? Math.floor(Date.now() / 1000) : null
    response.usage = responseUsage(usage)
    this.tell(`response.${status}`, { response: writable(response) })
  }

  private text(kind: 'message' | 'reasoning', delta: string, logprobs: object[]): void {
    if (this.open?.kind !== kind) this.beginText(kind)
    const { open } = this
    if (open?.kind !== kind || delta === '') return
    open.text += delta
    for (const one of logprobs) open.logprobs.push(one)
    this.tell(`${TEXTS[kind].event}.delta`, {
      ...at(open),
      content_index: 0,
      delta,
      ...(kind === 'message' && { logprobs }),
    })
  }

  private beginText(kind: 'message' | 'reasoning'): void {
    this.close('completed')
    const item: Item =
      kind === 'message'
        ? { id: newId('msg'), type: 'message', status: 'in_progress', role: 'assistant', content: [] }
        : { id: newId('rs'), type: 'reasoning', status: 'in_progress', summary: [], content: [] }
    this.open = { kind, item, index: this.add(item), text: '', logprobs: [] }
    this.tell('response.content_part.added', { ...at(this.open), content_index: 0, part: partOf(kind, '', []) })
  }

  private begin(call: number, callId: string, name: string): void {
    this.close('completed')
    const item: Item = {
      id: newId('fc'),
      type: 'function_call',
      status: 'in_progress',
      call_id: callId,
      name,
      arguments: '',
    }
    this.open = { kind: 'call', item, index: this.add(item), call, text: '' }
  }

  private add(item: Item): number {
    const index = this.response.output.push(item) - 1
    this.tell('response.output_item.added', { output_index: index, item: { ...item } })
    return index
  }

  private close(status: 'completed' | 'incomplete'): void {
    const { open } = this
    if (!open) return
    this.open = undefined
    const { item, text } = open
    item.status = status
    if (open.kind === 'call') {
      item.arguments = text
      this.tell('response.function_call_arguments.done', { ...at(open), name: item.name, arguments: text })
    } else {
      const part = partOf(open.kind, text, open.logprobs)
      item.content = [part]
      const { event } = TEXTS[open.kind]
      this.tell(`${event}.done`, {
        ...at(open),
        content_index: 0,
        text,
        ...(open.kind === 'message' && { logprobs: open.logprobs }),
      })
      this.tell('response.content_part.done', { ...at(open), content_index: 0, part })
    }
    this.tell('response.output_item.done', { output_index: open.index, item: { ...item } })
  }

  /** As it stands now: events may be kept, and the response changes. */
  private snapshot(): ResponseObject {
    return { ...this.response, output: [] }
  }

  private tell(type: string, fields: object): void {
    this.emit({ type, sequence_number: this.sequence++, ...fields })
  }
}

const at = ({ item, index }: Open) => ({ item_id: item.id, output_index: index })

function partOf(kind: 'message' | 'reasoning', text: string, logprobs: object[]): object {
  const { part } = TEXTS[kind]
  return kind === 'message' ? { type: part, text, annotations: [], logprobs } : { type: part, text }
}
