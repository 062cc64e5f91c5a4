/** Anthropic's content blocks and their events, from messages that reason, speak and call. */
import t from 'tap'
import { type Message, type MessageEvent, MessageWriter } from '../../../server/anthropic/writer.ts'
import type { MessageDelta } from '../../../server/openai/message/delta.ts'
import { usageOf } from '../../../server/openai/usage.ts'
import { tell } from '../../support/scripted-reader.ts'

const counts = usageOf({ promptTokens: 5, completionTokens: 9, cachedTokens: 2 }, true)

function written(deltas: MessageDelta[], end: Parameters<typeof tell>[2] = { finish: 'stop' }) {
  const events: MessageEvent[] = []
  const writer = new MessageWriter('demo', (event) => events.push(structuredClone(event)))
  writer.start(counts)
  const reading = tell(writer, deltas, end)
  if (reading.ending) writer.end(reading.ending, reading.usage(counts))
  return { events, message: writer.message }
}

/** The message as a client builds it from the events alone. */
function rebuilt(events: MessageEvent[]): Message {
  let message = {} as Message
  const json: string[] = []
  // biome-ignore lint/suspicious/noExplicitAny: events are read as a client reads them
  for (const event of events as any[]) {
    if (event.type === 'message_start') message = event.message
    else if (event.type === 'content_block_start') message.content[event.index] = event.content_block
    else if (event.type === 'content_block_delta') {
      const { delta } = event
      const block = message.content[event.index] as unknown as Record<string, string>
      if (delta.type === 'text_delta') block.text += delta.text
      else if (delta.type === 'thinking_delta') block.thinking += delta.thinking
      else if (delta.type === 'signature_delta') block.signature += delta.signature
      else json[event.index] = (json[event.index] ?? '') + delta.partial_json
    } else if (event.type === 'content_block_stop' && json[event.index])
      Object.assign(message.content[event.index], { input: JSON.parse(json[event.index]) })
    else if (event.type === 'message_delta') Object.assign(message, event.delta, { usage: event.usage })
  }
  return message
}

t.test('text', async (t) => {
  const { events, message } = written([{ content: 'Hello' }, { content: ' you' }])
  t.same(
    events.map(({ type }) => type),
    [
      'message_start',
      'ping',
      'content_block_start',
      'content_block_delta',
      'content_block_delta',
      'content_block_stop',
      'message_delta',
      'message_stop',
    ],
  )
  t.match(message, { content: [{ type: 'text', text: 'Hello you' }], stop_reason: 'end_turn', stop_sequence: null })
  t.same(message.usage, { input_tokens: 3, cache_creation_input_tokens: 0, cache_read_input_tokens: 2, output_tokens: 9 })
  t.same(rebuilt(events), message)
})

t.test('thinking, text and two calls', async (t) => {
  const { events, message } = written([
    { reasoning: 'I sh' },
    { reasoning: 'ould look' },
    { content: 'Let me see.' },
    { toolCalls: [{ index: 0, id: 'toolu_1', name: 'look', arguments: '' }] },
    { toolCalls: [{ index: 0, arguments: '{"a"' }] },
    {
      toolCalls: [
        { index: 0, arguments: ':1}' },
        { index: 1, id: 'toolu_2', name: 'go', arguments: '{}' },
      ],
    },
  ])
  t.same(message.content, [
    { type: 'thinking', thinking: 'I should look', signature: '' },
    { type: 'text', text: 'Let me see.' },
    { type: 'tool_use', id: 'toolu_1', name: 'look', input: { a: 1 } },
    { type: 'tool_use', id: 'toolu_2', name: 'go', input: {} },
  ])
  t.equal(message.stop_reason, 'tool_use')
  t.same(rebuilt(events), message)
  const indices = events.filter(({ type }) => type === 'content_block_start').map(({ index }) => index)
  t.same(indices, [0, 1, 2, 3])
})

t.test('why it ended', async (t) => {
  const reason = (end: Parameters<typeof tell>[2]) => written([{ content: 'a' }], end).message
  t.match(reason({ finish: 'length' }), { stop_reason: 'max_tokens', stop_sequence: null })
  t.match(reason({ finish: 'stop', stopReason: 'END' }), { stop_reason: 'stop_sequence', stop_sequence: 'END' })
  const call = { toolCalls: [{ index: 0, id: 'c', name: 'look', arguments: '{"a' }] }
  t.match(written([call], { finish: 'length' }).message, { stop_reason: 'max_tokens', content: [{ input: {} }] })
  t.same(written([{}]).message.content, [], 'nothing was said')
})
