/** POST /v1/messages: Anthropic's shapes, whole and as events, and its errors whatever they are of. */
import t, { type Test } from 'tap'
import { chatBodyOf, checkMessages, renamed } from '../../../server/anthropic/request.ts'
import { ApiError } from '../../../server/errors.ts'
import { fakeServing } from '../../support/fake-serving.ts'
import { request } from '../../support/http.ts'
import { goldenRows } from '../../support/openai.ts'
import { demoModel } from '../../support/repo.ts'
import { startServed } from '../../support/served.ts'

const demo = { model: demoModel('base'), adapters: demoModel('adapters'), 'served-model-name': 'demo', pool: '32MiB' }
const start = (t: Test, settings: Record<string, unknown> = {}) => startServed(t, { ...demo, ...settings })
const user = (content: unknown) => ({ role: 'user', content })
const chat = (body: Record<string, unknown>) => chatBodyOf({ max_tokens: 9, ...body })

t.test('bodies become chat bodies', async (t) => {
  const tools = [{ name: 'look', description: 'Looks.', input_schema: { type: 'object' }, cache_control: { type: 'ephemeral' } }]
  const body = chat({
    model: 'm',
    system: [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } }],
    messages: [
      user([
        { type: 'text', text: 'a' },
        { type: 'text', text: 'b' },
      ]),
      {
        role: 'assistant',
        content: [
          { type: 'thinking', thinking: 'Hm.', signature: 'x' },
          { type: 'redacted_thinking', data: 'x' },
          { type: 'text', text: 'Looking.' },
          { type: 'tool_use', id: 't1', name: 'look', input: { a: 1 } },
          { type: 'tool_use', id: 't2', name: 'look', input: {} },
        ],
      },
      user([
        { type: 'tool_result', tool_use_id: 't1', content: 'seen' },
        { type: 'tool_result', tool_use_id: 't2', content: [{ type: 'text', text: 'no' }], is_error: true },
        { type: 'text', text: 'And?' },
      ]),
    ],
    tools,
    tool_choice: { type: 'any', disable_parallel_tool_use: true },
    stop_sequences: ['END'],
    temperature: 0.5,
    top_k: 3,
    thinking: { type: 'enabled', budget_tokens: 1024 },
    metadata: { user_id: 'u' },
  })
  t.same(body, {
    model: 'm',
    messages: [
      { role: 'system', content: 'Be brief.' },
      { role: 'user', content: 'a\nb' },
      {
        role: 'assistant',
        content: 'Looking.',
        reasoning: 'Hm.',
        tool_calls: [
          { id: 't1', type: 'function', function: { name: 'look', arguments: '{"a":1}' } },
          { id: 't2', type: 'function', function: { name: 'look', arguments: '{}' } },
        ],
      },
      { role: 'tool', tool_call_id: 't1', content: 'seen' },
      { role: 'tool', tool_call_id: 't2', content: 'Error: no' },
      { role: 'user', content: 'And?' },
    ],
    stream: false,
    max_tokens: 9,
    temperature: 0.5,
    top_k: 3,
    stop: ['END'],
    user: 'u',
    tools: [{ type: 'function', function: { name: 'look', description: 'Looks.', parameters: { type: 'object' } } }],
    tool_choice: 'required',
    parallel_tool_calls: false,
    chat_template_kwargs: { enable_thinking: true },
  })
  const choice = (tool_choice: object) => chat({ messages: [user('a')], tools, tool_choice }).tool_choice
  t.same(choice({ type: 'tool', name: 'look' }), { type: 'function', function: { name: 'look' } })
  t.equal(choice({ type: 'none' }), 'none')
  t.match(chat({ messages: [user('a'), { role: 'assistant', content: 'Well' }] }), {
    continue_final_message: true,
    add_generation_prompt: false,
  })
  const schema = { type: 'object' }
  t.match(chat({ messages: [user('a')], output_config: { format: { type: 'json_schema', schema } } }).response_format, {
    type: 'json_schema',
    json_schema: { schema },
  })
})

t.test('what is not served is refused by its name', async (t) => {
  const wrong: [Record<string, unknown>, string, RegExp][] = [
    [{ messages: [user([{ type: 'image', source: {} }])] }, 'messages.0.content.0.type', /image are not supported/],
    [
      { messages: [{ role: 'assistant', content: [{ type: 'server_tool_use' }] }] },
      'messages.0.content.0.type',
      /server_tool_use/,
    ],
    [{ messages: [user([{ type: 'tool_result', content: 'x' }])] }, 'messages.0.content.0.tool_use_id', /you must provide/],
    [
      { messages: [{ role: 'assistant', content: [{ type: 'tool_use', id: 'a', name: 'b', input: 5 }] }] },
      'messages.0.content.0.input',
      /must be an object/,
    ],
    [
      { messages: [user('a')], tools: [{ type: 'web_search_20250305', name: 'web_search' }] },
      'tools.0.type',
      /web_search_20250305/,
    ],
    [{ messages: [user('a')], tools: [{ name: 'a' }] }, 'tools.0.input_schema', /you must provide/],
    [{ messages: [user('a')], output_format: { type: 'json_schema' } }, 'output_config.format', /schema/],
  ]
  for (const [body, param, message] of wrong) t.throws(() => chat(body), { param, message }, param)
  t.same(checkMessages({ context_management: { edits: [] } }), { context_management: { edits: [] } }, 'left to the schema')
  t.throws(() => checkMessages({ mcp_servers: [{}] }), { name: 'ApiError', param: 'mcp_servers' })
  t.same(checkMessages({ container: null, mcp_servers: [], a: 1 }), { a: 1 })
  const error = renamed(new ApiError('invalid_request', 'stop.0 is empty', 'stop.0'))
  t.match(error, { param: 'stop_sequences.0' })
})

t.test('answers are those of chat', async (t) => {
  const served = await start(t)
  const [row] = goldenRows('pirate')
  const { status, body, headers } = await served.post('/v1/messages', {
    model: 'pirate',
    max_tokens: 99,
    temperature: 0,
    messages: row.messages,
  })
  t.equal(status, 200)
  t.match(body, { type: 'message', role: 'assistant', model: 'pirate', content: [{ type: 'text', text: row.text }] })
  t.equal(body.stop_reason, row.finish === 'stop' ? 'end_turn' : 'max_tokens')
  t.equal(body.usage.input_tokens, row.input_ids.length)
  t.ok(headers.get('request-id'))
  const byHeader = await served.post('/v1/messages', { max_tokens: 2, messages: row.messages }, { 'x-lora-adapter': 'pirate' })
  t.equal(byHeader.body.model, 'pirate')
  t.ok(byHeader.headers.get('x-lora-digest'))
  const count = await served.post('/v1/messages/count_tokens', { model: 'pirate', messages: row.messages })
  t.same(count.body, { input_tokens: row.input_ids.length })
  const stopped = await served.post('/v1/messages', {
    max_tokens: 50,
    temperature: 0,
    stop_sequences: [' was'],
    messages: [user('Hello')],
  })
  t.match(stopped.body, { stop_reason: 'stop_sequence', stop_sequence: ' was' })
})

t.test('a stream', async (t) => {
  const served = await start(t)
  const body = { model: 'demo', max_tokens: 12, temperature: 0, messages: [user('Tell me a story.')] }
  const whole = (await served.post('/v1/messages', body)).body
  const { text, headers } = await request(`${served.url}/v1/messages`, { body: JSON.stringify({ ...body, stream: true }) })
  t.match(headers.get('content-type'), /^text\/event-stream/)
  const events = text
    .trimEnd()
    .split('\n\n')
    .map((part) => {
      const [, name, data] = /^event: (\S+)\ndata: (.*)$/.exec(part) ?? []
      t.equal(JSON.parse(data).type, name)
      return JSON.parse(data)
    })
  t.equal(events.map(({ delta }) => delta?.text ?? '').join(''), whole.content[0].text)
  t.match(events.at(-2), { type: 'message_delta', delta: { stop_reason: 'max_tokens' }, usage: { output_tokens: 12 } })
})

t.test("every error has Anthropic's shape", async (t) => {
  const served = await start(t, { 'api-key': ['acme=k1'], 'max-concurrent-requests': 1 })
  const ask = async (body: unknown, headers: Record<string, string> = { 'x-api-key': 'k1' }) => {
    const answer = await request(`${served.url}/v1/messages`, {
      headers,
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
    t.same(Object.keys(answer.json), ['type', 'error'])
    t.same(Object.keys(answer.json.error), ['type', 'message'])
    return [answer.status, answer.json.error.type]
  }
  const good = { max_tokens: 2, messages: [user('a')] }
  t.same(await ask(good, {}), [401, 'authentication_error'])
  t.same(await ask(good, { 'x-api-key': 'other' }), [401, 'authentication_error'])
  t.same(await ask('{'), [400, 'invalid_request_error'])
  t.same(await ask({ messages: [user('a')] }), [400, 'invalid_request_error'])
  t.same(await ask({ ...good, model: 'nope' }), [404, 'not_found_error'])
  t.same(await ask({ ...good, max_tokens: 5000 }), [400, 'invalid_request_error'])
  const busy = new AbortController()
  const running = await fetch(`${served.url}/v1/completions`, {
    method: 'POST',
    signal: busy.signal,
    headers: { 'content-type': 'application/json', 'x-api-key': 'k1' },
    body: JSON.stringify({ prompt: 'Once', max_tokens: 900, ignore_eos: true, stream: true }),
  })
  t.same(await ask(good), [429, 'rate_limit_error'])
  busy.abort()
  await running.text().catch(() => {})
  const got = await request(`${served.url}/v1/messages`, { method: 'GET', headers: { 'x-api-key': 'k1' } })
  t.match(got.json, { type: 'error', error: { type: 'invalid_request_error' } })

  const { url } = await fakeServing(t, (one) =>
    setImmediate(() => {
      one.send({ tokens: [700], cachedTokens: 0 })
      one.send({ finish: 'error', error: { code: 'engine_failed', message: 'it broke' } })
    }),
  )
  const failed = await request(`${url}/v1/messages`, { body: JSON.stringify({ ...good, stream: true }) })
  t.match(failed.text, /event: error\ndata: \{"type":"error","error":\{"type":"overloaded_error","message":"it broke"\}\}\n\n$/)
  const whole = await request(`${url}/v1/messages`, { body: JSON.stringify(good) })
  t.equal(whole.status, 503)
  t.match(whole.json.error, { type: 'overloaded_error' })
})
