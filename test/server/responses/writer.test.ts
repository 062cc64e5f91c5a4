/** Output items and their events, from messages that reason, speak and call. */
import t from 'tap'
import type { MessageDelta } from '../../../server/openai/message/delta.ts'
import { usageOf } from '../../../server/openai/usage.ts'
import { type Item, newResponse } from '../../../server/responses/response.ts'
import { type ResponseEvent, ResponseWriter } from '../../../server/responses/writer.ts'
import { tell } from '../../support/scripted-reader.ts'

const counts = usageOf({ promptTokens: 5, completionTokens: 9, cachedTokens: 0 }, false)

/** All events and the response of a message. */
function written(deltas: MessageDelta[], end: Parameters<typeof tell>[2] = { finish: 'stop' }) {
  const events: ResponseEvent[] = []
  const writer = new ResponseWriter(newResponse({}, 'demo', { temperature: 1, topP: 1 }), (event) =>
    events.push(structuredClone(event)),
  )
  writer.start()
  const reading = tell(writer, deltas, end)
  if (reading.ending) writer.end(reading.ending, reading.usage(counts))
  return { events, response: writer.response, types: events.map(({ type }) => type.replace('response.', '')) }
}

/** The output as a client builds it from the events alone. */
function rebuilt(events: ResponseEvent[]): Item[] {
  const output: Item[] = []
  // biome-ignore lint/suspicious/noExplicitAny: events are read as a client reads them
  for (const event of events as any[]) {
    const item = output[event.output_index]
    if (event.type === 'response.output_item.added') output[event.output_index] = { ...event.item }
    else if (event.type === 'response.content_part.added') (item.content as object[])[event.content_index] = { ...event.part }
    else if (/(output|reasoning)_text\.delta$/.test(event.type))
      (item.content as { text: string }[])[event.content_index].text += event.delta
    else if (event.type === 'response.function_call_arguments.delta') (item as { arguments?: string }).arguments += event.delta
    else if (event.type === 'response.output_item.done') item.status = event.item.status
  }
  return output
}

t.test('text', async (t) => {
  const { events, response, types } = written([{ content: 'Hello' }, { content: ' you' }])
  t.same(types, [
    'created',
    'in_progress',
    'output_item.added',
    'content_part.added',
    'output_text.delta',
    'output_text.delta',
    'output_text.done',
    'content_part.done',
    'output_item.done',
    'completed',
  ])
  t.same(
    events.map((event) => event.sequence_number),
    events.map((_, i) => i),
  )
  t.match(response, { status: 'completed', output: [{ type: 'message', status: 'completed' }] })
  t.same(response.output[0].content, [{ type: 'output_text', text: 'Hello you', annotations: [], logprobs: [] }])
  t.same(rebuilt(events), response.output)
  t.match(response.usage, { input_tokens: 5, output_tokens: 9, total_tokens: 14 })
  t.type(response.completed_at, 'number')
})

t.test('reasoning, then text, then two calls', async (t) => {
  const { events, response, types } = written([
    { reasoning: 'I sh' },
    { reasoning: 'ould look' },
    { content: '\n\n' },
    { content: 'Let me see.' },
    { toolCalls: [{ index: 0, id: 'call_1', name: 'look', arguments: '' }] },
    { toolCalls: [{ index: 0, arguments: '{"a"' }] },
    { toolCalls: [{ index: 0, arguments: ':1}' }] },
    { toolCalls: [{ index: 1, id: 'call_2', name: 'go', arguments: '{}' }] },
  ])
  t.same(
    response.output.map(({ type }) => type),
    ['reasoning', 'message', 'function_call', 'function_call'],
  )
  t.same(response.output[0].content, [{ type: 'reasoning_text', text: 'I should look' }])
  t.match(response.output[1].content, [{ text: '\n\nLet me see.' }])
  t.match(response.output[2], { call_id: 'call_1', name: 'look', arguments: '{"a":1}', status: 'completed' })
  t.match(response.output[3], { call_id: 'call_2', name: 'go', arguments: '{}' })
  t.same(rebuilt(events), response.output)
  t.match(response.usage, { output_tokens_details: { reasoning_tokens: 2 } })
  t.equal(types.filter((type) => type === 'output_item.done').length, 4)
  t.equal(types.filter((type) => type === 'function_call_arguments.done').length, 2)
  const ids = new Set(response.output.map(({ id }) => id))
  t.equal(ids.size, 4)
})

t.test('white space between a thought and a call is no message; alone it is the answer', async (t) => {
  const call = { toolCalls: [{ index: 0, id: 'call_1', name: 'look', arguments: '{}' }] }
  const { response } = written([{ reasoning: 'Hm.' }, { content: '\n' }, call, { content: '\n' }])
  t.same(
    response.output.map(({ type }) => type),
    ['reasoning', 'function_call'],
  )
  const spaces = written([{ content: ' ' }, { content: '\n' }])
  t.match(spaces.response.output, [{ content: [{ text: ' \n' }] }])
  const none = written([{}])
  t.match(none.response.output, [{ type: 'message', content: [{ text: '' }] }])
  t.same(rebuilt(none.events), none.response.output)
})

t.test('what the reader held back comes at the end', async (t) => {
  const { response, events } = written([{ content: 'a' }], { finish: 'stop', last: { content: '<tool' } })
  t.match(response.output, [{ content: [{ text: 'a<tool' }] }])
  t.same(rebuilt(events), response.output)
})

t.test('an answer that max_output_tokens cuts', async (t) => {
  const cut = written([{ toolCalls: [{ index: 0, id: 'c', name: 'look', arguments: '{"a' }] }], { finish: 'length' })
  t.match(cut.response, {
    status: 'incomplete',
    incomplete_details: { reason: 'max_output_tokens' },
    completed_at: null,
    output: [{ status: 'incomplete', arguments: '{"a' }],
  })
  t.equal(cut.types.at(-1), 'incomplete')
})

t.test('failed and cancelled ones end what is open', async (t) => {
  for (const status of ['failed', 'cancelled'] as const) {
    const events: ResponseEvent[] = []
    const writer = new ResponseWriter(newResponse({ background: true }, 'demo', { temperature: 1, topP: 1 }), (event) =>
      events.push(event),
    )
    writer.response.status = 'queued'
    writer.start()
    t.equal(events.at(-1)?.type, 'response.queued')
    writer.progress()
    writer.progress()
    t.equal(events.filter(({ type }) => type === 'response.in_progress').length, 1)
    writer.content('Half', [])
    if (status === 'failed') writer.fail('server_error', 'it broke', counts)
    else writer.cancel(counts)
    t.match(writer.response, { status, output: [{ status: 'incomplete', content: [{ text: 'Half' }] }] })
    t.equal(events.at(-1)?.type, `response.${status}`)
    if (status === 'failed') t.same(writer.response.error, { code: 'server_error', message: 'it broke' })
  }
})
