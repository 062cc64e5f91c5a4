/** Chat completions with tools and reasoning, over an engine that writes what a test says, through the official client. */
import OpenAI from 'openai'
import t from 'tap'
import type { LogprobRows, SequenceOutput } from '../../../runtime/index.ts'
import type { MessageFormats } from '../../../server/openai/message/formats.ts'
import { ModelTokenizer } from '../../../server/tokenizer/tokenizer.ts'
import type { Grammars } from '../../../server/types.ts'
import { fakeServing, type Submitted } from '../../support/fake-serving.ts'
import { chunksOf } from '../../support/openai.ts'
import { demoModel } from '../../support/repo.ts'

const tokenizer = ModelTokenizer.load(demoModel('base'))
const END = 5
const ROW: LogprobRows = {
  of: {
    tokens: new Int32Array([7]),
    logprob: new Float32Array([-1]),
    rank: new Int32Array([1]),
    topStarts: new Int32Array(2),
    topTokens: new Int32Array(0),
    topLogprobs: new Float32Array(0),
  },
  from: 0,
  to: 1,
}

type Create = OpenAI.ChatCompletionCreateParamsNonStreaming
type Message = OpenAI.ChatCompletionMessage & { reasoning?: string; reasoning_content?: string }

const weather = {
  type: 'function' as const,
  function: {
    name: 'get_weather',
    parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  },
}
const now = { type: 'function' as const, function: { name: 'now' } }
const ask: Create = { model: 'demo', messages: [{ role: 'user', content: 'How is Paris?' }], tools: [weather, now] }
const call = (name: string, args: object) => `<tool_call>\n${JSON.stringify({ name, arguments: args })}\n</tool_call>`

interface Scripted {
  client: OpenAI
  submitted: Submitted[]
  /** The whole answer, and what its stream adds up to. */
  both(body: Partial<Create>): Promise<[OpenAI.ChatCompletion, OpenAI.ChatCompletion]>
}

/** A server whose every answer is the next of these, a token at a time. */
async function scripted(
  t: { teardown(handler: () => Promise<void>): unknown },
  formats: MessageFormats,
  texts: string[],
  finish: SequenceOutput['finish'] = 'stop',
): Promise<Scripted> {
  let asked = 0
  const { url, submitted } = await fakeServing(
    t,
    ({ request, send }) => {
      const ids = tokenizer.encode(texts[asked++ % texts.length], { addSpecialTokens: false })
      setImmediate(() => {
        const rows = request.sampling.logprobs < 0 ? {} : { logprobs: ROW }
        for (const token of ids) send({ tokens: [token], ...rows })
        if (finish === 'stop') send({ tokens: [END], stopToken: END, finish, ...rows })
        else send({ tokens: [], finish })
      })
    },
    { formats, grammars },
  )
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 })
  return {
    client,
    submitted,
    async both(body) {
      const whole = await client.chat.completions.create({ ...ask, ...body })
      const stream = client.chat.completions.stream({ ...ask, ...body, stream_options: { include_usage: true } } as never)
      return [whole, await stream.finalChatCompletion()]
    },
  }
}

/** The texts are what a grammar would have let through. */
const grammars: Grammars = {
  lease: async () => ({ constraint: { thread: 0, grammar: 0 }, release: () => {} }),
  counters: { compiled: 0, refused: 0, reused: 0, threadsLost: 0 },
}

const callsOf = ({ choices }: OpenAI.ChatCompletion) =>
  choices.map(({ message, finish_reason }) => ({
    content: message.content,
    calls: message.tool_calls?.map((one) => one.type === 'function' && [one.function.name, JSON.parse(one.function.arguments)]),
    finish_reason,
  }))

t.test('calls are told apart from the text, whole and streamed', async (t) => {
  const { both, client } = await scripted(t, { tools: 'hermes' }, [
    `${call('get_weather', { city: 'Paris' })}\n${call('now', {})}`,
  ])
  const calls = [
    ['get_weather', { city: 'Paris' }],
    ['now', {}],
  ]
  const [whole, streamed] = await both({})
  t.same(callsOf(whole), [{ content: null, calls, finish_reason: 'tool_calls' }])
  t.match(callsOf(streamed), [{ calls, finish_reason: 'tool_calls' }])
  t.match(whole.choices[0].message.tool_calls, [{ id: /^call_\w{24}$/, type: 'function' }, { id: /^call_\w{24}$/ }])
  const chunks = await chunksOf(await client.chat.completions.create({ ...ask, stream: true }))
  const deltas = chunks.flatMap(({ choices }) => choices.map(({ delta }) => delta))
  t.same(deltas[0], { role: 'assistant', content: '' })
  const parts = deltas.flatMap(({ tool_calls }) => tool_calls ?? [])
  t.match(parts[0], { index: 0, id: /^call_/, type: 'function', function: { name: 'get_weather', arguments: '' } })
  t.ok(parts.length > 5, `arguments come in ${parts.length} pieces`)
  t.ok(parts.slice(1).every((part) => (part.id === undefined) === (part.function?.name === undefined)))
  t.ok(
    deltas.every((delta) => !delta.content),
    'no mark is content',
  )
})

t.test('one call only without parallel_tool_calls', async (t) => {
  const { both } = await scripted(t, { tools: 'hermes' }, [`Yes. ${call('now', {})}${call('get_weather', { city: 'Rome' })}`])
  for (const answer of await both({ parallel_tool_calls: false }))
    t.same(callsOf(answer), [{ content: 'Yes.', calls: [['now', {}]], finish_reason: 'tool_calls' }])
})

t.test('without parallel_tool_calls nothing is generated behind the first call', async (t) => {
  const tokens = (text: string) => tokenizer.encode(text, { addSpecialTokens: false }).length
  const more = 'and so on '.repeat(20)
  const cases: [format: MessageFormats['tools'], first: string, rest: string][] = [
    ['hermes', `Yes. ${call('now', {})}`, `${call('get_weather', { city: 'Rome' })}${more}`],
    // Of a list that is not streamed it is known at its end only that all in it are calls.
    ['pythonic', '[now(), get_weather(city="Rome")]', more],
    ['mistral', '[TOOL_CALLS] [{"name": "now", "arguments": {}}, {"name": "now", "arguments": {}}]', more],
  ]
  for (const [format, first, rest] of cases) {
    const { both } = await scripted(t, { tools: format }, [first + rest])
    for (const [i, answer] of (await both({ parallel_tool_calls: false, n: 2 })).entries()) {
      const what = `${format}, ${i === 0 ? 'whole' : 'streamed'}`
      for (const choice of callsOf(answer)) t.match(choice, { calls: [['now', {}]], finish_reason: 'tool_calls' }, what)
      const used = answer.usage?.completion_tokens ?? 0
      t.ok(used > 0 && used <= 2 * (tokens(first) + 2), `${what}: ${used} tokens of ${2 * tokens(first + rest)}`)
    }
    const [answer] = await both({})
    t.ok((answer.usage?.completion_tokens ?? 0) >= tokens(rest), `${format}: with it all is generated`)
  }
})

t.test('what is no call stays text, and ends as text does', async (t) => {
  const text = '<tool_call>{"name": get_weather}</tool_call>'
  const { both } = await scripted(t, { tools: 'hermes' }, [text])
  for (const answer of await both({})) t.match(callsOf(answer), [{ content: text, calls: undefined, finish_reason: 'stop' }])
})

t.test('a call that max_tokens cut is text, or in a stream what came of it; both say length', async (t) => {
  const text = call('get_weather', { city: 'Paris' }).slice(0, 50)
  const { client } = await scripted(t, { tools: 'hermes' }, [text], 'length')
  const whole = await client.chat.completions.create(ask)
  t.match(callsOf(whole), [{ content: text, calls: undefined, finish_reason: 'length' }])
  const chunks = await chunksOf(await client.chat.completions.create({ ...ask, stream: true }))
  t.equal(chunks.at(-1)?.choices[0].finish_reason, 'length')
})

t.test('a call that the model breaks off is none that a client should carry out', async (t) => {
  const text = call('get_weather', { city: 'Paris' }).slice(0, 50)
  const { client } = await scripted(t, { tools: 'hermes' }, [text])
  t.match(callsOf(await client.chat.completions.create(ask)), [{ content: text, calls: undefined, finish_reason: 'stop' }])
  const chunks = await chunksOf(await client.chat.completions.create({ ...ask, stream: true }))
  t.ok(
    chunks.some(({ choices }) => choices[0].delta.tool_calls),
    'it was told as it came',
  )
  t.equal(chunks.at(-1)?.choices[0].finish_reason, 'stop')
  const streamed = await client.responses.create({
    model: 'demo',
    input: 'How is Paris?',
    tools: [{ type: 'function', name: 'get_weather', parameters: {}, strict: false }],
    stream: true,
  })
  const last = (await chunksOf(streamed)).at(-1)
  t.match(last, { type: 'response.completed', response: { output: [{ type: 'function_call', status: 'incomplete' }] } })
  const message = await fetch(client.baseURL.replace('/v1', '/v1/messages'), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'demo',
      max_tokens: 100,
      messages: ask.messages,
      tools: [{ name: 'get_weather', input_schema: { type: 'object' } }],
      stream: true,
    }),
  })
  const events = await message.text()
  t.match(events, /"tool_use"/)
  t.match(events, /"stop_reason":"end_turn"/)
})

t.test('a named function: the text is its arguments, no format is needed, and it ends with stop', async (t) => {
  const { both, submitted } = await scripted(t, {}, ['{"city": "Paris"}'])
  const [whole, streamed] = await both({ tool_choice: { type: 'function', function: { name: 'get_weather' } } })
  for (const answer of [whole, streamed])
    t.match(callsOf(answer), [{ calls: [['get_weather', { city: 'Paris' }]], finish_reason: 'stop' }])
  t.equal(whole.choices[0].message.content, null)
  t.equal(submitted.length, 2)
})

t.test('required: the text is a list of calls', async (t) => {
  const list = '[{"name": "now", "parameters": {}}, {"name": "get_weather", "parameters": {"city": "Paris"}}]'
  const { both } = await scripted(t, { tools: 'mistral' }, [list])
  const [whole, streamed] = await both({ tool_choice: 'required' })
  const calls = [
    ['now', {}],
    ['get_weather', { city: 'Paris' }],
  ]
  for (const answer of [whole, streamed]) t.match(callsOf(answer), [{ calls, finish_reason: 'tool_calls' }])
  t.match(whole.choices[0].message.tool_calls?.[0].id, /^\w{9}$/, 'with the ids that the model wants')
})

t.test('without a format: auto is refused, none is not', async (t) => {
  const { client } = await scripted(t, {}, ['<tool_call>'])
  await t.rejects(client.chat.completions.create(ask), { status: 400, param: 'tool_choice', message: /--tool-call-parser/ })
  const answer = await client.chat.completions.create({ ...ask, tool_choice: 'none' })
  t.match(callsOf(answer), [{ content: '<tool_call>', finish_reason: 'stop' }])
})

t.test('reasoning is told apart, counted, and can be left out', async (t) => {
  const { both, client } = await scripted(t, { reasoning: 'qwen3', tools: 'hermes' }, [
    `<think>So, Paris.</think>${call('now', {})}`,
  ])
  const [whole, streamed] = await both({})
  t.match(whole.choices[0].message as Message, { reasoning: 'So, Paris.', reasoning_content: 'So, Paris.', content: null })
  const chunks = await chunksOf(await client.chat.completions.create({ ...ask, stream: true }))
  const deltas = chunks.flatMap(({ choices }) => choices.map(({ delta }) => delta as Message))
  for (const field of ['reasoning', 'reasoning_content'] as const)
    t.equal(deltas.map((delta) => delta[field] ?? '').join(''), 'So, Paris.', field)
  const counted = whole.usage?.completion_tokens_details?.reasoning_tokens ?? 0
  t.ok(counted > 2 && counted < (whole.usage?.completion_tokens ?? 0), `${counted} tokens`)
  t.equal(streamed.usage?.completion_tokens_details?.reasoning_tokens, counted)
  const without = await client.chat.completions.create({ ...ask, include_reasoning: false } as Create)
  t.notOk('reasoning' in without.choices[0].message)
  t.equal(without.usage?.completion_tokens_details?.reasoning_tokens, counted)
  t.equal(without.choices[0].message.tool_calls?.length, 1)
})

t.test('several choices, logprobs and token ids are those of the tokens', async (t) => {
  const { client } = await scripted(t, { tools: 'hermes' }, [call('now', {}), 'Hello'])
  const extra = { n: 2, logprobs: true, return_token_ids: true } as object
  const whole = await client.chat.completions.create({ ...ask, ...extra })
  t.same(
    callsOf(whole).map(({ finish_reason }) => finish_reason),
    ['tool_calls', 'stop'],
  )
  const ids = tokenizer.encode(call('now', {}), { addSpecialTokens: false })
  const chunks = await chunksOf(await client.chat.completions.create({ ...ask, ...extra, stream: true }))
  const choices = chunks.flatMap((chunk) => chunk.choices).filter(({ index }) => index === 0)
  for (const [name, list] of [
    ['whole', [whole.choices[0]]],
    ['streamed', choices],
  ] as const) {
    const own = list as unknown as (OpenAI.ChatCompletion.Choice & { token_ids?: number[] })[]
    t.same(
      own.flatMap(({ token_ids }) => token_ids ?? []),
      [...ids, END],
      name,
    )
    t.equal(own.flatMap(({ logprobs }) => logprobs?.content ?? []).length, ids.length + 1, name)
  }
})

t.test('marks that are special tokens are read, and no other special token is in the text', async (t) => {
  const { client } = await scripted(t, { tools: 'hermes', reasoning: 'qwen3' }, [`<|user|>Yes.${call('now', {})}<|system|>`])
  const answer = await client.chat.completions.create(ask)
  t.match(callsOf(answer), [{ content: 'Yes.', calls: [['now', {}]] }])
  const detokenizer = tokenizer.detokenizer({ skipSpecialTokens: true, keep: ['<|user|>'] })
  t.equal(detokenizer.push(tokenizer.encode('<|user|>a<|system|>b', { addSpecialTokens: false })), '<|user|>ab')
})

t.test("openai's runner of tools calls them and goes on", async (t) => {
  const { client, submitted } = await scripted(t, { tools: 'hermes' }, [call('get_weather', { city: 'Paris' }), 'It is warm.'])
  const asked: unknown[] = []
  const runner = client.chat.completions.runTools({
    ...ask,
    tools: [
      {
        type: 'function',
        function: {
          ...weather.function,
          parse: JSON.parse,
          function: async (args: unknown) => {
            asked.push(args)
            return 'warm'
          },
        },
      },
    ],
  } as never)
  t.equal(await runner.finalContent(), 'It is warm.')
  t.same(asked, [{ city: 'Paris' }])
  t.equal(submitted.length, 2)
})
