/** What a client is told when it is wrong: OpenAI's shape, the field, and what would be right. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { CATALOGUE } from '../../server/errors.ts'
import { request } from '../support/http.ts'
import { repoRoot } from '../support/repo.ts'
import { startServed } from '../support/served.ts'

const messages = [{ role: 'user', content: 'hi' }]
const many = (n: number) => Array.from({ length: n }, () => 700)
const biases = (n: number) => Object.fromEntries(Array.from({ length: n }, (_, id) => [id, 1]))

/** Body, field, what the message says; `code` is invalid_request unless it is given. */
type Wrong = [body: object, param: string, message: RegExp, code?: keyof typeof CATALOGUE]

const COMPLETIONS: Wrong[] = [
  [{}, 'prompt', /you must provide prompt/],
  [{ prompt: 7 }, 'prompt', /^prompt must be string or array$/],
  [{ prompt: '', add_special_tokens: false }, 'prompt', /at least one token/],
  [{ prompt: [] }, 'prompt', /prompt must/],
  [{ prompt: [[]] }, 'prompt', /prompt/],
  [{ prompt: ['a', 1] }, 'prompt.1', /^prompt\.1 must be string/],
  [{ prompt: [700, 'a'] }, 'prompt.1', /^prompt\.1 must be integer/],
  [{ prompt: [700, -1] }, 'prompt.1', /^prompt\.1 must be >= 0/],
  [{ prompt: [many(3), 'a'] }, 'prompt.1', /^prompt\.1 must be array/],
  [{ prompt: many(2049).map(() => 'a') }, 'prompt', /^prompt must NOT have more than 2048 items/],
  [{ prompt: [[7], [7, 7, 1540]] }, 'prompt.1.2', /^prompt\.1\.2: 1540 is not a token id/],
  [{ prompt: [1536] }, 'prompt.0', /1536 is not a token id of this model \(0 to 1535\)/],
  [{ prompt: [-1] }, 'prompt', /prompt/],
  [{ prompt: many(1024) }, 'prompt', /maximum context length is 1024 tokens.*1024 tokens/, 'context_length_exceeded'],
  [
    { prompt: many(1000), max_tokens: 30 },
    'prompt',
    /you requested 1030 tokens \(1000 in the prompt, 30 in the/,
    'context_length_exceeded',
  ],
  [{ prompt: 'a', max_tokens: '5' }, 'max_tokens', /max_tokens must be integer/],
  [{ prompt: 'a', max_tokens: 0 }, 'max_tokens', /must be at least 1 unless echo is true/],
  [{ prompt: 'a', max_tokens: 1.5 }, 'max_tokens', /must be integer/],
  [{ prompt: 'a', temperature: 3 }, 'temperature', /must be <= 2/],
  [{ prompt: 'a', temperature: '1' }, 'temperature', /^temperature must be number$/],
  [{ prompt: 'a', top_p: 0 }, 'top_p', /must be > 0/],
  [{ prompt: 'a', n: 0 }, 'n', /must be >= 1/],
  [{ prompt: 'a', n: 3, best_of: 2 }, 'best_of', /at least n/],
  [{ prompt: 'a', n: 2, best_of: 3, stream: true }, 'best_of', /stream/],
  [{ prompt: 'a', kv_transfer_params: {} }, 'kv_transfer_params', /not supported/, 'unsupported_parameter'],
  [{ prompt: 'a', stream: 'true' }, 'stream', /must be boolean/],
  [{ prompt: 'a', stop: '' }, 'stop', /stop/],
  [{ prompt: 'a', stop: 5 }, 'stop', /^stop must be string or array$/],
  [{ prompt: 'a', stop: [1] }, 'stop.0', /^stop\.0 must be string$/],
  [{ prompt: 'a', stop: many(65).map(() => 'x') }, 'stop', /^stop must NOT have more than 64 items/],
  [{ prompt: 'a', stop_token_ids: [3, 9999] }, 'stop_token_ids.1', /9999 is not a token id of this model \(0 to 1535\)/],
  [{ prompt: 'a', stop_token_ids: many(1793) }, 'stop_token_ids', /must NOT have more than 1792 items/],
  [{ prompt: 'a', allowed_token_ids: [1536] }, 'allowed_token_ids.0', /1536 is not a token id/],
  [{ prompt: 'a', allowed_token_ids: many(1793) }, 'allowed_token_ids', /must NOT have more than 1792 items/],
  [{ prompt: 'a', allowed_token_ids: [] }, 'allowed_token_ids', /allowed_token_ids/],
  [{ prompt: 'a', allowed_token_ids: [2, 5], min_tokens: 1 }, 'allowed_token_ids', /only tokens that end the answer/],
  [{ prompt: 'a', logit_bias: { 1536: 1 } }, 'logit_bias', /1536 is not a token id/],
  [{ prompt: 'a', logit_bias: { fox: 1 } }, 'logit_bias', /fox is not a token id/],
  [{ prompt: 'a', logit_bias: { 5: 101 } }, 'logit_bias.5', /must be <= 100/],
  [{ prompt: 'a', logit_bias: { 5: -101 } }, 'logit_bias.5', /must be >= -100/],
  [{ prompt: 'a', logit_bias: { 5: 1, '05': 2 } }, 'logit_bias', /05 is not a token id/],
  [{ prompt: 'a', logit_bias: biases(1793) }, 'logit_bias', /must NOT have more than 1792 properties/],
  [{ prompt: many(2000).map(() => 'a'), n: 2, logit_bias: biases(1536) }, 'n', /4000 sequences .* 1536 listed tokens each/],
  [{ prompt: 'a', seed: 2 ** 63 }, 'seed', /from -9223372036854775808 to 9223372036854775807/],
  [{ prompt: 'a', seed: 1.5 }, 'seed', /must be integer/],
  [{ prompt: 'a', repetition_penalty: 1e-300 }, 'repetition_penalty', /must be >= 0.01/],
  [{ prompt: 'a', prompt_logprobs: -1 }, 'prompt_logprobs', /must be >= 0/],
  [{ prompt: 'a', logprobs: 21 }, 'logprobs', /must be <= 20/],
  [{ prompt: 'a', min_tokens: 9, max_tokens: 5 }, 'min_tokens', /min_tokens \(9\) must not exceed max_tokens \(5\)/],
  [
    { prompt: 'a', stream_options: { include_usages: true } },
    'stream_options.include_usages',
    /include_usages/,
    'unknown_parameter',
  ],
  [{ prompt: 'a', stream_options: { include_usage: true }, stream: false }, 'stream_options', /needs stream to be true/],
  [{ prompt: 'a', stop: 'x'.repeat(1025) }, 'stop', /more than 1024 characters/],
  [{ prompt: 'a', suffix: 'b' }, 'suffix', /not supported/, 'unsupported_parameter'],
  [{ prompt: 'a', guided_regex: 'b' }, 'guided_regex', /not supported/, 'unsupported_parameter'],
  [{ prompt: 'a', temperatur: 1 }, 'temperatur', /temperatur\. Did you mean temperature\?/, 'unknown_parameter'],
  [{ prompt: 'a', xyzzy: 1 }, 'xyzzy', /supplied: xyzzy\.$/, 'unknown_parameter'],
  [{ prompt: 'a', ['x'.repeat(5000)]: 1 }, 'x', /supplied: x{128}…\.$/, 'unknown_parameter'],
  [{ prompt: 'a', toString: 1 }, 'toString', /supplied: toString/, 'unknown_parameter'],
]

const tool = (name: string, parameters?: unknown) => ({ type: 'function', function: { name, parameters } })
const named = (name: string) => ({ type: 'function', function: { name } })

const CHAT: Wrong[] = [
  [{}, 'messages', /you must provide messages/],
  [{ messages: [] }, 'messages', /must NOT have fewer than 1 items/],
  [{ messages: 'hi' }, 'messages', /must be array/],
  [{ messages: Array.from({ length: 2049 }, () => messages[0]) }, 'messages', /must NOT have more than 2048 items/],
  [{ messages: [{ content: 'hi' }] }, 'messages.0.role', /you must provide messages\.0\.role/],
  [{ messages: [{ role: 'user' }] }, 'messages.0.content', /you must provide messages\.0\.content/],
  [{ messages: [{ role: 'user', content: 5 }] }, 'messages.0.content', /messages\.0\.content/],
  [
    { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] },
    'messages.0.content.0.type',
    /image_url are not supported/,
    'unsupported_parameter',
  ],
  [
    { messages: [{ role: 'user', content: [{ type: 'x'.repeat(9999) }] }] },
    'messages.0.content.0.type',
    /^.{1,50}x{128}… are not supported/,
    'unsupported_parameter',
  ],
  [{ messages: [{ role: 'user', content: [{ type: 'text' }] }] }, 'messages.0.content.0.text', /must be a string/],
  [{ messages, max_completion_tokens: 0 }, 'max_completion_tokens', /^max_completion_tokens must be at least 1/],
  [{ messages, max_tokens: 0 }, 'max_tokens', /^max_tokens must be at least 1/],
  [{ messages, max_tokens: 0, max_completion_tokens: null }, 'max_tokens', /^max_tokens must be at least 1/],
  [{ messages, max_tokens: 5000 }, 'messages', /maximum context length/, 'context_length_exceeded'],
  [{ messages, logprobs: 3 }, 'logprobs', /must be boolean/],
  [{ messages, top_logprobs: 3 }, 'top_logprobs', /needs logprobs/],
  [{ messages, response_format: { type: 'xml' } }, 'response_format.type', /"json_schema"/],
  [{ messages, response_format: { type: 'json_schema' } }, 'response_format.json_schema', /you must provide/],
  [
    { messages, response_format: { type: 'json_schema', json_schema: { name: 'a' } } },
    'response_format.json_schema.schema',
    /you must provide/,
  ],
  [
    {
      messages,
      response_format: {
        type: 'json_schema',
        json_schema: { name: 'a', schema: { properties: { a: { not: { additionalProperties: { type: 'string' } } } } } },
      },
    },
    'response_format.json_schema.schema.properties.a.not.additionalProperties',
    /not supported/,
  ],
  [{ messages, structured_outputs: {} }, 'structured_outputs', /exactly one of json, regex/],
  [{ messages, structured_outputs: { regex: 'a', choice: ['b'] } }, 'structured_outputs', /not regex and choice/],
  [{ messages, structured_outputs: { json: '{' } }, 'structured_outputs.json', /no JSON/],
  [{ messages, structured_outputs: { choice: [] } }, 'structured_outputs.choice', /fewer than 1/],
  [
    { messages, structured_outputs: { lark: 'a' } },
    'structured_outputs.lark',
    /^Unrecognized request argument supplied: structured_outputs.lark$/,
    'unknown_parameter',
  ],
  [
    { messages, structured_outputs: { json_object: true }, response_format: { type: 'json_object' } },
    'structured_outputs',
    /both say/,
  ],
  [{ messages, guided_json: {} }, 'guided_json', /structured_outputs/, 'unsupported_parameter'],
  [{ messages, modalities: ['text', 'audio'] }, 'modalities', /modalities is not supported/, 'unsupported_parameter'],
  [{ messages, reasoning_effort: 'most' }, 'reasoning_effort', /must be equal to one of the allowed values/],
  [{ messages, tools: [{ type: 'function' }] }, 'tools.0', /you must provide tools.0.function/],
  [{ messages, tools: [{ type: 'custom', function: { name: 'a' } }] }, 'tools.0.type', /allowed values/],
  [{ messages, tools: [{ type: 'function', function: { name: 'a b' } }] }, 'tools.0.function.name', /must match pattern/],
  [{ messages, tools: [tool('a'), tool('b'), tool('a')] }, 'tools.2.function.name', /two tools have the name a/],
  [{ messages, tools: [tool('a', [])] }, 'tools.0.function.parameters', /must be object/],
  [{ messages, tools: [tool('a', { type: 'string' })] }, 'tools.0.function.parameters', /must be a JSON schema of type "object"/],
  [{ messages, tools: [tool('a')] }, 'tool_choice', /--tool-call-parser/, 'unsupported_parameter'],
  [{ messages, tools: [tool('a')], tool_choice: 'any' }, 'tool_choice', /allowed values/],
  [{ messages, tool_choice: 'required' }, 'tool_choice', /needs tools/],
  [
    { messages, tools: [tool('get_weather')], tool_choice: named('get_wether') },
    'tool_choice',
    /get_wether. Did you mean get_weather/,
  ],
  [{ messages, tool_choice: named('a') }, 'tool_choice', /needs tools/],
  [{ messages, tools: [tool('a')], tool_choice: { type: 'function' } }, 'tool_choice', /allowed values/],
  [{ messages, continue_final_message: true, add_generation_prompt: true }, 'continue_final_message', /cannot both/],
  [
    { messages, chat_template: "{{ raise_exception('roles must alternate') }}" },
    'messages',
    /roles must alternate/,
    'chat_template_failed',
  ],
  [{ messages, chat_template: '{% if %}' }, 'messages', /the chat template is not valid/, 'chat_template_failed'],
  [{ messages, chat_template: '{{ range(99999999)|length }}' }, 'messages', /Range too big/, 'chat_template_failed'],
  [{ messages, chat_template: '{# nothing #}' }, 'messages', /hold no token/],
  [{ messages, prompt: 'a' }, 'prompt', /supplied: prompt/, 'unknown_parameter'],
  [{ messages, max_completion_token: 5 }, 'max_completion_token', /Did you mean max_completion_tokens\?/, 'unknown_parameter'],
]

t.test('errors', async (t) => {
  const served = await startServed(t, { 'body-limit': '64KiB', 'max-concurrent-requests': 1, 'max-request-sequences': 4096 })

  for (const [route, wrongs] of [
    ['/v1/completions', COMPLETIONS],
    ['/v1/chat/completions', CHAT],
  ] as const)
    t.test(`${route}: a wrong body is 400, names the field and says what is right`, async (t) => {
      for (const [body, param, message, code = 'invalid_request'] of wrongs) {
        const shown = JSON.stringify(body).slice(0, 80)
        const answer = await served.post(route, body)
        t.equal(answer.status, 400, shown)
        t.match(answer.body, { error: { message, param, code, type: 'invalid_request_error' } }, shown)
        t.same(Object.keys(answer.body.error).sort(), ['code', 'message', 'param', 'type'])
        const streamed = await served.post(route, { stream: true, ...body })
        t.equal(streamed.status, 400, `${shown} streamed`)
      }
    })

  t.test('null stands for absent', async (t) => {
    const nothing = {
      max_tokens: null,
      temperature: null,
      n: null,
      stop: null,
      logprobs: null,
      seed: null,
      stream: null,
      logit_bias: null,
    }
    t.equal((await served.post('/v1/completions', { prompt: 'a', suffix: null, ...nothing })).status, 200)
    const body = { messages, tools: null, response_format: null, ...nothing, max_tokens: 2 }
    t.equal((await served.post('/v1/chat/completions', body)).status, 200)
  })

  t.test("fields that change nothing, and fields of OpenAI's that are for OpenAI, are accepted", async (t) => {
    const harmless = { length_penalty: 1, use_beam_search: false, bad_words: [], user: 'me', spaces_between_special_tokens: true }
    t.equal((await served.post('/v1/completions', { prompt: 'a', max_tokens: 1, ...harmless })).status, 200)
    const forOpenAi = { store: false, metadata: { a: 'b' }, service_tier: 'auto', safety_identifier: 'x', prompt_cache_key: 'y' }
    const asDefault = { modalities: ['text'], reasoning_effort: 'none', verbosity: 'medium', tools: [], tool_choice: 'auto' }
    const others = { response_format: { type: 'text' }, parallel_tool_calls: true, top_logprobs: 0 }
    const body = { messages, max_tokens: 1, ...harmless, ...forOpenAi, ...asDefault, ...others }
    t.match(await served.post('/v1/chat/completions', body), { status: 200 })
  })

  t.test('what is no JSON object is 400', async (t) => {
    for (const body of ['{"prompt": "a"', '', 'prompt', '{"prompt": "a", "__proto__": {"n": 2}}']) {
      const answer = await request(`${served.url}/v1/completions`, { body })
      t.equal(answer.status, 400, body)
      t.match(answer.json.error, { code: 'invalid_json', type: 'invalid_request_error', message: /JSON/ }, body)
    }
    for (const body of ['[]', 'null', '"a"', '3'])
      t.match(
        await request(`${served.url}/v1/completions`, { body }),
        { status: 400, json: { error: { message: /must be object/ } } },
        body,
      )
  })

  t.test('JSON of any depth is read, and refused where a template would be given it', async (t) => {
    const deep = `{"a":${'['.repeat(20_000)}${']'.repeat(20_000)}}`
    const ask = (extra: string) =>
      request(`${served.url}/v1/chat/completions`, { body: `{"messages":${JSON.stringify(messages)},"max_tokens":1,${extra}}` })
    t.match(await ask(`"chat_template_kwargs":${deep}`), { status: 400, json: { error: { code: 'chat_template_failed' } } })
    for (let i = 0; i < 2; i++)
      t.match(await ask(`"chat_template":"x","chat_template_kwargs":${deep}`), {
        status: 400,
        json: { error: { code: 'chat_template_failed', message: /could not be run: Maximum call stack/ } },
      })
    t.equal((await ask('"chat_template":"x"')).status, 200, 'the next one is served')
    t.match(await ask(`"logit_bias":${deep}`), { status: 400, json: { error: { param: 'logit_bias.a' } } })
    t.match(await ask(`"documents":${deep}`), { status: 400, json: { error: { param: 'documents' } } })
  })

  t.test('routes, methods, sizes and types of body', async (t) => {
    const missing = await request(`${served.url}/v1/complete?x=1`, { body: '{}' })
    t.match(missing, {
      status: 404,
      json: {
        error: {
          code: 'route_not_found',
          message: 'there is no POST /v1/complete; see /docs; did you mean POST /v1/completions?',
        },
      },
    })
    const meant = async (path: string) => (await request(`${served.url}${path}`, { body: '{}' })).json.error.message
    t.equal(
      await meant('/chat/completions'),
      'there is no POST /chat/completions; see /docs; did you mean POST /v1/chat/completions?',
    )
    t.equal(await meant('/v1/audio/transcriptions'), 'there is no POST /v1/audio/transcriptions; see /docs')
    const unreadable = await request(`${served.url}/v1/models/%E0%A4%A`)
    t.match(unreadable, { status: 400, json: { error: { code: 'invalid_request', message: /not a valid url/ } } })
    const method = await request(`${served.url}/v1/completions`)
    t.match(method, { status: 405, json: { error: { code: 'method_not_allowed', message: /use POST/ } } })
    t.equal(method.headers.get('allow'), 'POST')
    const large = await request(`${served.url}/v1/completions`, { body: JSON.stringify({ prompt: 'a'.repeat(70_000) }) })
    t.match(large, { status: 413, json: { error: { code: 'body_too_large', message: /65536 bytes/ } } })
    const type = await request(`${served.url}/v1/completions`, {
      body: 'prompt=a',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    })
    t.match(type, { status: 415, json: { error: { code: 'unsupported_media_type', param: 'content-type' } } })
  })

  t.test('one request too many is 429, and the next one after is served', async (t) => {
    const body = JSON.stringify({ prompt: 'a', max_tokens: 900, ignore_eos: true, stream: true })
    const controller = new AbortController()
    const first = await fetch(`${served.url}/v1/completions`, {
      method: 'POST',
      body,
      headers: { 'content-type': 'application/json' },
      signal: controller.signal,
    })
    const second = await request(`${served.url}/v1/completions`, { body })
    t.match(second, {
      status: 429,
      json: { error: { code: 'too_many_requests', type: 'rate_limit_error', message: /1 requests? in flight/ } },
    })
    t.ok(Number(second.headers.get('retry-after')) >= 1)
    t.equal((await request(`${served.url}/health`)).status, 200, 'only generating routes are limited')
    await first.body?.getReader().read()
    controller.abort()
    await served.serving.engine.idle()
    let status = 429
    for (let i = 0; i < 100 && status === 429; i++)
      status = (await request(`${served.url}/v1/completions`, { body: '{"prompt":"a","max_tokens":1}' })).status
    t.equal(status, 200)
  })

  t.same(await served.idleComplaints(), [], 'no refused request left anything behind')
})

t.test('docs/errors.md lists the catalogue, and nothing else', async (t) => {
  const page = readFileSync(path.join(repoRoot(), 'docs/errors.md'), 'utf8')
  const rows = [...page.matchAll(/^\| `(\w+)` \| (\d+) \| `(\w+)` \|/gm)].map(([, code, status, type]) => [
    code,
    { status: Number(status), type },
  ])
  t.same(Object.fromEntries(rows), CATALOGUE)
  t.equal(rows.length, Object.keys(CATALOGUE).length)
})

t.test('a name that a client chose is not echoed whole', async (t) => {
  const { url } = await startServed(t, {})
  const name = '/~'.repeat(1 << 19)
  for (const body of [
    { prompt: 'a', logit_bias: { [name]: 'x' } },
    { prompt: 'a', [name]: 1 },
    { prompt: 'a', model: name },
  ]) {
    const { status, text } = await request(`${url}/v1/completions`, { body: JSON.stringify(body) })
    t.ok(status === 400 || status === 404)
    t.ok(text.length < 2000, `${text.length} characters`)
  }
})
