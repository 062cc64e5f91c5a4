/** POST /generate, /generate_stream and /invocations: TGI's and LoRAX's shapes, and SageMaker's one path. */
import t, { type Test } from 'tap'
import { fakeServing } from '../../support/fake-serving.ts'
import { request } from '../../support/http.ts'
import { demoModel } from '../../support/repo.ts'
import { startServed } from '../../support/served.ts'

const demo = { model: demoModel('base'), adapters: demoModel('adapters'), 'served-model-name': 'demo', pool: '32MiB' }
const start = (t: Test, settings: Record<string, unknown> = {}) => startServed(t, { ...demo, ...settings })
const inputs = 'Once upon a time'

t.test('greedy unless something asks for a draw', async (t) => {
  const { post } = await start(t)
  const completion = await post('/v1/completions', { prompt: inputs, temperature: 0, max_tokens: 12 })
  const plain = await post('/generate', { inputs, parameters: { max_new_tokens: 12 } })
  t.same(plain.body, { generated_text: completion.body.choices[0].text })
  for (const name of ['prompt-tokens', 'generated-tokens', 'total-time', 'queue-time', 'inference-time', 'time-per-token'])
    t.match(plain.headers.get(`x-${name}`), /^\d+$/, name)
  t.equal(plain.headers.get('x-generated-tokens'), '12')
  const full = await post('/generate', { inputs, parameters: { max_new_tokens: 12, return_full_text: true } })
  t.equal(full.body.generated_text, inputs + plain.body.generated_text)
  const drawn = (parameters: object) => post('/generate', { inputs, parameters: { max_new_tokens: 12, seed: 3, ...parameters } })
  const hot = (await drawn({ temperature: 1.9 })).body.generated_text
  t.not(hot, plain.body.generated_text)
  t.equal((await drawn({ temperature: 1.9 })).body.generated_text, hot, 'a seed draws the same')
  const same = await post('/v1/completions', { prompt: inputs, temperature: 1.9, top_p: 1, seed: 3, max_tokens: 12 })
  t.equal(same.body.choices[0].text, hot)
  t.equal((await drawn({})).body.generated_text, plain.body.generated_text, 'a seed alone asks for none')
  t.ok((await post('/generate', { inputs })).body.generated_text, 'parameters may be absent')
})

t.test('adapters by adapter_id, by the header, and merged', async (t) => {
  const { post } = await start(t)
  const of = (parameters: object, headers = {}) =>
    post('/generate', { inputs, parameters: { max_new_tokens: 8, ...parameters } }, headers)
  const pirate = await of({ adapter_id: 'pirate', adapter_source: 'local' })
  t.equal(pirate.headers.get('x-adapter-id'), 'pirate')
  t.equal(pirate.headers.get('x-lora-adapter'), 'pirate')
  const completion = await post('/v1/completions', { model: 'pirate', prompt: inputs, temperature: 0, max_tokens: 8 })
  t.equal(pirate.body.generated_text, completion.body.choices[0].text)
  t.equal((await of({ adapter_id: 'shout' }, { 'x-lora-adapter': 'pirate' })).headers.get('x-lora-adapter'), 'pirate')
  t.equal((await of({ adapter_id: '__base_model__' })).headers.get('x-lora-adapter'), null)
  const merged = await of({ merged_adapters: { ids: ['pirate', 'shout'], weights: [0.7, 0.25] } })
  const mixed = await post(
    '/v1/completions',
    { prompt: inputs, temperature: 0, max_tokens: 8 },
    { 'x-lora-adapter': 'pirate;w=0.7, shout;w=0.25' },
  )
  t.equal(merged.body.generated_text, mixed.body.choices[0].text)
  t.equal(merged.headers.get('x-lora-adapter'), 'pirate;w=0.7, shout;w=0.25')
  const equal = await of({ merged_adapters: { ids: ['pirate', 'shout'], weights: [], merge_strategy: 'linear' } })
  t.equal(equal.headers.get('x-lora-adapter'), 'pirate, shout')
})

t.test('details: tokens, the prompt, how it ended, the best of several', async (t) => {
  const { post } = await start(t)
  const of = async (parameters: object) =>
    (await post('/generate', { inputs, parameters: { details: true, ...parameters } })).body
  const { generated_text, details } = await of({ max_new_tokens: 6, decoder_input_details: true })
  t.match(details, { finish_reason: 'length', generated_tokens: 6, prompt_tokens: details.prefill.length, seed: null })
  t.equal(details.tokens.map(({ text }: { text: string }) => text).join(''), generated_text)
  t.ok(details.tokens.every(({ logprob }: { logprob: number }) => logprob <= 0))
  t.equal(details.prefill[0].logprob, null)
  t.type(details.prefill[1].logprob, 'number')
  const stopped = await of({ max_new_tokens: 60, stop: [' had'] })
  t.match(stopped, { details: { finish_reason: 'stop_sequence' } })
  t.match(stopped.generated_text, / had$/, 'it ends with what ended it')
  const ended = await of({ max_new_tokens: 400 })
  t.equal(ended.details.finish_reason, 'eos_token')
  const last = ended.details.tokens.at(-1)
  t.ok(last.special)
  t.notMatch(ended.generated_text, /<\|/)
  const best = await of({ best_of: 4, do_sample: true, seed: 7, max_new_tokens: 8, top_n_tokens: 2 })
  const mean = ({ tokens }: { tokens: { logprob: number }[] }) =>
    tokens.reduce((sum, { logprob }) => sum + logprob, 0) / tokens.length
  t.equal(best.details.best_of_sequences.length, 3)
  for (const other of best.details.best_of_sequences) t.ok(mean(other) <= mean(best.details))
  t.equal(best.details.seed, 7)
  t.ok(best.details.top_tokens.every((list: object[]) => list.length === 2))
})

t.test('a stream', async (t) => {
  const { url, post } = await start(t)
  const parameters = { max_new_tokens: 300, return_k_alternatives: 2 }
  const whole = await post('/generate', { inputs, parameters })
  const { text, headers } = await request(`${url}/generate_stream`, { body: JSON.stringify({ inputs, parameters }) })
  t.match(headers.get('content-type'), /^text\/event-stream/)
  const events = text
    .trimEnd()
    .split('\n\n')
    .map((line) => JSON.parse(line.replace('data: ', '')))
  const said = events.filter(({ token }) => !token.special).map(({ token }) => token.text)
  t.equal(said.join(''), whole.body.generated_text)
  t.same(
    events.map(({ index }) => index),
    events.map((_, i) => i + 1),
  )
  t.ok(events.every(({ token }) => token.alternative_tokens.length === 2))
  t.ok(events.slice(0, -1).every(({ generated_text, details }) => generated_text === null && details === null))
  t.match(events.at(-1), {
    generated_text: whole.body.generated_text,
    details: { finish_reason: 'eos_token', generated_tokens: events.length },
  })
})

t.test("what is wrong is named as this API has it, in TGI's shape", async (t) => {
  const { url } = await start(t, { 'api-key': ['acme=k1'] })
  const ask = async (body: unknown, headers: Record<string, string> = { 'x-api-key': 'k1' }, path = '/generate') => {
    const answer = await request(url + path, { headers, body: typeof body === 'string' ? body : JSON.stringify(body) })
    t.same(Object.keys(answer.json), ['error', 'error_type'])
    return { status: answer.status, ...answer.json }
  }
  const wrong: [object, RegExp][] = [
    [{}, /you must provide inputs/],
    [{ inputs: 5 }, /inputs must be string/],
    [{ inputs, parameter: {} }, /Did you mean parameters/],
    [{ inputs, parameters: { max_tokens: 5 } }, /parameters\.max_tokens/],
    [{ inputs, parameters: { temperature: 0 } }, /parameters\.temperature must be > 0/],
    [{ inputs, parameters: { max_new_tokens: 5000 } }, /5000 in the completion/],
    [
      { inputs, parameters: { merged_adapters: { ids: ['pirate', 'shout'], merge_strategy: 'dare_ties' } } },
      /dare_ties is not supported/,
    ],
    [{ inputs, parameters: { merged_adapters: { ids: ['pirate'], weights: [1, 2] } } }, /one for each of the 1 ids/],
    [
      { inputs, parameters: { merged_adapters: { ids: ['pirate', 'pirate'] } } },
      /parameters\.merged_adapters names pirate twice/,
    ],
    [{ inputs, parameters: { merged_adapters: { ids: ['pirate'] }, adapter_id: 'shout' } }, /cannot both be given/],
    [{ inputs, parameters: { adapter_source: 's3', adapter_id: 'a' } }, /not s3/],
    [{ inputs, parameters: { api_token: 'x' } }, /api_token is not supported/],
    [{ inputs, parameters: { watermark: true } }, /watermark is not supported/],
    [{ inputs, parameters: { typical_p: 0.9 } }, /typical_p is not supported/],
    [{ inputs, parameters: { apply_chat_template: true } }, /v1\/chat\/completions/],
    [{ inputs, parameters: { best_of: 2 } }, /best_of needs sampling/],
    [{ inputs, parameters: { grammar: { type: 'lark', value: 'x' } } }, /json or regex, not lark/],
  ]
  for (const [body, message] of wrong)
    t.match(await ask(body), { status: 400, error: message, error_type: 'validation' }, JSON.stringify(body))
  t.match(await ask({ inputs, parameters: { adapter_id: 'pirat' } }), { status: 404, error: /does not exist/ })
  t.match(await ask({ inputs }, {}), { status: 401, error_type: 'authentication' })
  t.match(await ask('{'), { status: 400, error_type: 'validation', error: /not valid JSON/ })
  const best = { inputs, parameters: { best_of: 2, do_sample: true } }
  t.match(await ask(best, undefined, '/generate_stream'), { status: 400, error: /best_of must be 1 in a stream/ })

  const fake = await fakeServing(t, (one) =>
    setImmediate(() => {
      one.send({ tokens: [700], cachedTokens: 0 })
      one.send({ finish: 'error', error: { code: 'engine_failed', message: 'it broke' } })
    }),
  )
  const failed = await request(`${fake.url}/generate_stream`, { body: JSON.stringify({ inputs }) })
  t.match(failed.text, /data: \{"error":"it broke","error_type":"overloaded"\}\n\n$/)
})

t.test('a seed of 64 bits is kept', async (t) => {
  const seeds: (bigint | undefined)[] = []
  const { url } = await fakeServing(t, (one) => {
    seeds.push(one.request.sampling.seed)
    setImmediate(() => one.send({ tokens: [700], cachedTokens: 0, finish: 'length' }))
  })
  await request(`${url}/generate`, { body: `{"inputs":"a","parameters":{"do_sample":true,"seed":9007199254740993}}` })
  t.same(seeds, [9007199254740993n])
})

t.test('/invocations is whatever its body is of', async (t) => {
  const { post } = await start(t)
  const prompt = { prompt: inputs, max_tokens: 4, temperature: 0 }
  const header = { 'x-amzn-sagemaker-adapter-identifier': 'pirate' }
  const completion = await post('/invocations', prompt, header)
  t.match(completion.body, { object: 'text_completion', model: 'pirate' })
  t.equal(completion.body.choices[0].text, (await post('/v1/completions', { ...prompt, model: 'pirate' })).body.choices[0].text)
  const chat = await post('/invocations', { messages: [{ role: 'user', content: 'Hi' }], max_tokens: 3 })
  t.equal(chat.body.object, 'chat.completion')
  t.match((await post('/invocations', { prompt: 'a', max_tokens: 'x' })).body.error, { param: 'max_tokens' })
  t.match((await post('/invocations', { prompt: 'a', max_token: 5 })).body.error, { code: 'unknown_parameter' })
  for (const body of [{}, { input: 'a' }, [], 'a', null])
    t.match((await post('/invocations', body)).body.error, { message: /`messages` or `prompt`/ })
})
