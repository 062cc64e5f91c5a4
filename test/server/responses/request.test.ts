/** Inputs of the Responses API as chat bodies. */
import t from 'tap'
import { ApiError } from '../../../server/errors.ts'
import { itemsOf, messagesOfItems } from '../../../server/responses/items.ts'
import { chatBodyOf, checkResponse, renamed, turnStarts, withoutOldest } from '../../../server/responses/request.ts'

const none = () => undefined
const messages = (input: unknown) => messagesOfItems(itemsOf(input, none))
const chat = (body: Record<string, unknown>) => chatBodyOf(body, ['temperature'], itemsOf(body.input, none), false)

t.test('items become messages', async (t) => {
  t.same(messages('hi'), [{ role: 'user', content: 'hi' }])
  t.same(
    messages([
      { role: 'developer', content: 'Be brief.' },
      {
        type: 'message',
        role: 'user',
        content: [
          { type: 'input_text', text: 'a' },
          { type: 'input_text', text: 'b' },
        ],
      },
      { type: 'reasoning', id: 'rs_1', summary: [], content: [{ type: 'reasoning_text', text: 'Hm.' }] },
      {
        type: 'message',
        role: 'assistant',
        id: 'msg_1',
        status: 'completed',
        content: [{ type: 'output_text', text: 'Looking.' }],
      },
      { type: 'function_call', call_id: 'c1', name: 'look', arguments: '{"a":1}' },
      { type: 'function_call', call_id: 'c2', name: 'go', arguments: '{}' },
      { type: 'function_call_output', call_id: 'c1', output: 'seen' },
      { type: 'function_call_output', call_id: 'c2', output: [{ type: 'input_text', text: 'gone' }] },
      { type: 'message', role: 'assistant', content: 'Done.' },
      { role: 'user', content: 'Thanks' },
    ]),
    [
      { role: 'developer', content: 'Be brief.' },
      { role: 'user', content: 'a\nb' },
      {
        role: 'assistant',
        content: 'Looking.',
        reasoning: 'Hm.',
        tool_calls: [
          { id: 'c1', type: 'function', function: { name: 'look', arguments: '{"a":1}' } },
          { id: 'c2', type: 'function', function: { name: 'go', arguments: '{}' } },
        ],
      },
      { role: 'tool', tool_call_id: 'c1', content: 'seen' },
      { role: 'tool', tool_call_id: 'c2', content: 'gone' },
      { role: 'assistant', content: 'Done.' },
      { role: 'user', content: 'Thanks' },
    ],
  )
  t.same(
    messages([
      { role: 'assistant', content: 'One.' },
      { role: 'assistant', content: 'Two.' },
      { type: 'reasoning', summary: [{ type: 'summary_text', text: 'Short.' }] },
      { type: 'function_call', call_id: 'c', name: 'look', arguments: '{}' },
      { type: 'reasoning', summary: [], encrypted_content: 'xyz' },
    ]),
    [
      { role: 'assistant', content: 'One.' },
      { role: 'assistant', content: 'Two.' },
      {
        role: 'assistant',
        content: '',
        reasoning: 'Short.',
        tool_calls: [{ id: 'c', type: 'function', function: { name: 'look', arguments: '{}' } }],
      },
    ],
  )
})

t.test('wrong items are named', async (t) => {
  const wrong: [unknown, string, RegExp][] = [
    [[{ type: 'web_search_call' }], 'input.0.type', /web_search_call are not supported/],
    [
      [
        { role: 'user', content: 'a' },
        { role: 'robot', content: 'a' },
      ],
      'input.1.role',
      /must be one of user/,
    ],
    [[{ role: 'user' }], 'input.0.content', /must be a string or a list/],
    [[{ role: 'user', content: [{ type: 'input_image' }] }], 'input.0.content.0.type', /input_image is not supported/],
    [[{ role: 'user', content: [{ type: 'input_text' }] }], 'input.0.content.0.text', /must be a string/],
    [[{ role: 'user', content: [5] }], 'input.0.content.0', /must be an object/],
    [[{ role: 'user', content: [{ type: 'constructor' }] }], 'input.0.content.0.type', /constructor is not supported/],
    [[{ type: 'function_call', name: 'a', arguments: '{}' }], 'input.0.call_id', /you must provide/],
    [[{ type: 'function_call', call_id: 'c', name: 'a', arguments: {} }], 'input.0.arguments', /must be a string/],
    [[{ type: 'function_call_output', call_id: 'c' }], 'input.0.output', /must be a string or/],
    [[{ type: 'item_reference', id: 'msg_9' }], 'input.0.id', /no item with id msg_9/],
    [[{ id: 'msg_9' }], 'input.0.id', /no item with id msg_9/],
  ]
  for (const [input, param, message] of wrong) t.throws(() => itemsOf(input, none), { param, message }, param)
  const known = { type: 'message', id: 'msg_1', role: 'user', content: 'kept' }
  t.same(
    itemsOf([{ id: 'msg_1' }], (id) => (id === 'msg_1' ? known : undefined)),
    [known],
  )
})

t.test('the other fields', async (t) => {
  t.same(chat({ input: 'a', instructions: 'Be brief.', max_output_tokens: 5, temperature: 0.5, model: 'm' }), {
    model: 'm',
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'a' },
    ],
    stream: false,
    temperature: 0.5,
    max_completion_tokens: 5,
  })
  const tool = { type: 'function', name: 'look', description: 'Looks.', parameters: { type: 'object' }, strict: true }
  const given = { name: 'look', description: 'Looks.', parameters: { type: 'object' }, strict: true }
  t.match(chat({ input: 'a', tools: [tool], parallel_tool_calls: false }), {
    tools: [{ type: 'function', function: given }],
    tool_choice: 'auto',
    parallel_tool_calls: false,
  })
  t.same(chat({ input: 'a', tools: [tool], tool_choice: { type: 'function', name: 'look' } }).tool_choice, {
    type: 'function',
    function: { name: 'look' },
  })
  const two = [tool, { ...tool, name: 'go' }]
  const allowed = chat({
    input: 'a',
    tools: two,
    tool_choice: { type: 'allowed_tools', mode: 'required', tools: [{ type: 'function', name: 'go' }] },
  })
  t.match(allowed, { tool_choice: 'required', tools: [{ function: { name: 'go' } }] })
  t.equal((allowed.tools as object[]).length, 1)
  const schema = { type: 'object' }
  t.same(chat({ input: 'a', text: { format: { type: 'json_schema', name: 'n', schema, strict: true } } }).response_format, {
    type: 'json_schema',
    json_schema: { name: 'n', schema, strict: true },
  })
  t.same(chat({ input: 'a', text: { format: { type: 'json_object' } } }).response_format, { type: 'json_object' })
  t.notOk('response_format' in chat({ input: 'a', text: { format: { type: 'text' } } }))
  t.match(chat({ input: 'a', include: ['message.output_text.logprobs'] }), { logprobs: true, top_logprobs: 0 })
  t.match(chat({ input: 'a', top_logprobs: 3 }), { logprobs: true, top_logprobs: 3 })
  t.equal(chat({ input: 'a', reasoning: { effort: 'low' } }).reasoning_effort, 'low')
})

t.test('what is not served is refused by its name', async (t) => {
  t.throws(() => chat({ input: 'a', tools: [{ type: 'file_search' }] }), { param: 'tools.0.type', message: /file_search/ })
  t.throws(() => chat({ input: 'a', tools: [{ type: 'function' }] }), { name: 'ApiError', param: 'tools.0.name' })
  t.throws(() => chat({ input: 'a', tool_choice: 'always' }), { name: 'ApiError', param: 'tool_choice' })
  const other = { type: 'allowed_tools', tools: [{ type: 'function', name: 'other' }] }
  t.throws(() => chat({ input: 'a', tools: [{ type: 'function', name: 'look' }], tool_choice: other }), {
    name: 'ApiError',
    param: 'tool_choice.tools',
  })
  t.throws(() => chat({ input: 'a', tool_choice: { type: 'mcp' } }), { param: 'tool_choice', message: /mcp/ })
  t.throws(() => chat({ input: 'a', text: { format: { type: 'json_schema', name: 'n' } } }), {
    name: 'ApiError',
    param: 'text.format.schema',
  })
  t.throws(() => checkResponse({ conversation: 'conv_1' }), { param: 'conversation', code: 'unsupported_parameter' })
  t.throws(() => checkResponse({ prompt: { id: 'p' } }), { name: 'ApiError', param: 'prompt' })
  t.throws(() => checkResponse({ background: true, store: false }), { name: 'ApiError', param: 'background' })
  t.throws(() => checkResponse({ stream_options: {} }), { name: 'ApiError', param: 'stream_options' })
  t.same(checkResponse({ conversation: null, context_management: [], input: 'a' }), { input: 'a' })
})

t.test('errors name the fields of this API', async (t) => {
  const error = (param: string) => renamed(new ApiError('invalid_request', `${param} is wrong`, param)) as ApiError
  t.match(error('messages.3.content'), { name: 'ApiError', param: 'input.content' })
  t.match(error('max_completion_tokens'), { param: 'max_output_tokens', message: 'max_output_tokens is wrong' })
  t.match(error('response_format.json_schema.schema'), { name: 'ApiError', param: 'text.format.schema' })
  t.match(error('tools.1.function.parameters'), { name: 'ApiError', param: 'tools.1.parameters' })
  t.match(error('temperature'), { name: 'ApiError', param: 'temperature' })
  const other = new Error('x')
  t.equal(renamed(other), other)
})

t.test('what truncation leaves out: whole turns, never the system', async (t) => {
  const items = itemsOf(
    [
      { role: 'system', content: 's' },
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
      { role: 'user', content: 'c' },
      { type: 'function_call', call_id: 'c', name: 'n', arguments: '{}' },
      { type: 'function_call_output', call_id: 'c', output: 'o' },
      { role: 'user', content: 'd' },
    ],
    none,
  )
  const left = (count: number) => withoutOldest(items, count).map((item) => item.content ?? item.type)
  t.same(turnStarts(items), [0, 1, 3, 6])
  t.same(left(1), ['s', 'a', 'b', 'c', 'function_call', 'function_call_output', 'd'])
  t.same(left(2), ['s', 'c', 'function_call', 'function_call_output', 'd'])
  t.same(left(3), ['s', 'd'])
})
