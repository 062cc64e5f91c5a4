/** The utility routes over a real engine: what they tell agrees with what was generated. */
import { spawnSync } from 'node:child_process'
import t from 'tap'
import { request } from '../support/http.ts'
import { goldenRows, openaiClient } from '../support/openai.ts'
import { startServed } from '../support/served.ts'

t.test('served', async (t) => {
  const served = await startServed(t, {})
  const client = openaiClient(served)
  const [row] = goldenRows('pirate')

  const metrics = async () => {
    const { text } = await request(`${served.url}/metrics`)
    return (name: string, labels = '') => {
      const line = text.split('\n').find((line) => line.startsWith(`${name}{`) && line.includes(labels))
      return line === undefined ? undefined : Number(line.slice(line.lastIndexOf(' ')))
    }
  }

  t.test('/metrics counts tokens and requests as usage does', async (t) => {
    const before = await metrics()
    const body = { messages: row.messages, max_tokens: 64, temperature: 0 }
    const { usage } = await client.chat.completions.create({ model: 'pirate', ...body })
    await client.chat.completions.create({ model: 'pirate', ...body, max_tokens: 3 })
    await served.serving.engine.idle()
    const after = await metrics()
    const grown = (name: string, labels = '') => (after(name, labels) ?? 0) - (before(name, labels) ?? 0)
    t.equal(grown('vllm:generation_tokens_total'), (usage?.completion_tokens ?? 0) + 3)
    t.equal(grown('vllm:request_success_total', 'finished_reason="stop"'), 1)
    t.equal(grown('vllm:request_success_total', 'finished_reason="length"'), 1)
    t.equal(grown('vllm:time_to_first_token_seconds_count'), 2)
    t.equal(grown('vllm:inter_token_latency_seconds_count'), (usage?.completion_tokens ?? 0) - 1 + 2)
    t.equal(grown('vllm:request_prompt_tokens_sum'), 2 * (usage?.prompt_tokens ?? 0))
    t.ok(grown('vllm:prefix_cache_hits_total') > 0, "the second found the first one's prompt")
    t.ok((after('vllm:lora_requests_info', 'running_lora_adapters="pirate"') ?? 0) > 0, 'the adapter is resident')
    const loads = ['request', 'prefetch'].map((reason) => grown('lorikeet_adapter_loads_total', `reason="${reason}"`))
    t.same(loads.sort(), [0, 1], 'it came into the pool once')
    t.equal(after('vllm:num_requests_running'), 0)
    t.equal(after('vllm:kv_cache_usage_perc'), 0)
  })

  t.test('/load tells what is in flight', async (t) => {
    const body = { model: 'demo', prompt: 'a', n: 3, max_tokens: 900, stream: true as const, ...{ ignore_eos: true } }
    const stream = await client.completions.create(body)
    await stream[Symbol.asyncIterator]().next()
    // The snapshot comes up with a step now and then, not with each.
    let load = 0
    for (let i = 0; i < 200 && load !== 3; i++) load = (await request(`${served.url}/load`)).json.server_load
    t.equal(load, 3)
    stream.controller.abort()
    await served.serving.engine.idle()
    t.equal((await request(`${served.url}/load`)).json.server_load, 0)
  })

  t.test('the models that the official client lists can be asked for', async (t) => {
    const { data } = await client.models.list()
    t.equal(data.length, 10)
    for (const { id } of data) {
      t.equal((await client.models.retrieve(id)).id, id)
      t.equal((await client.completions.create({ model: id, prompt: 'Once', max_tokens: 1 })).model, id)
    }
  })

  t.test('/tokenize gives the ids that the routes generate from', async (t) => {
    const chat = await request(`${served.url}/tokenize`, { body: JSON.stringify({ messages: row.messages }) })
    t.same(chat.json.tokens, row.input_ids)
    const text = await request(`${served.url}/detokenize`, { body: JSON.stringify({ tokens: row.input_ids }) })
    const again = { prompt: text.json.prompt, add_special_tokens: false }
    t.same((await request(`${served.url}/tokenize`, { body: JSON.stringify(again) })).json.tokens, row.input_ids)
  })
})

t.test('small things that clients of other servers do', async (t) => {
  const served = await startServed(t, {})
  const prompt = 'Once there was a'

  t.test('best_of returns the likeliest of those drawn', async (t) => {
    const sampling = { prompt: [prompt, 'A cat'], max_tokens: 6, temperature: 1.5, seed: 5, logprobs: 0, ignore_eos: true }
    const { body: all } = await served.post('/v1/completions', { ...sampling, n: 4 })
    const { body: best } = await served.post('/v1/completions', { ...sampling, n: 2, best_of: 4 })
    type Choice = { index: number; text: string; logprobs: { token_logprobs: number[] } }
    const mean = ({ logprobs: { token_logprobs: of } }: Choice) => of.reduce((a, b) => a + b, 0) / of.length
    const expected = [0, 4].flatMap((first) =>
      (all.choices as Choice[])
        .slice(first, first + 4)
        .sort((a, b) => mean(b) - mean(a))
        .slice(0, 2),
    )
    t.same(
      (best.choices as Choice[]).map(({ text }) => text),
      expected.map(({ text }) => text),
    )
    t.same(
      (best.choices as Choice[]).map(({ index }) => index),
      [0, 1, 2, 3],
    )
    t.equal(best.usage.completion_tokens, 48, 'all that were drawn count')
    const { body: plain } = await served.post('/v1/completions', { ...sampling, logprobs: undefined, n: 1, best_of: 4 })
    t.equal(plain.choices[0].logprobs, null, 'logprobs that nobody asked for are not told')
    t.equal(plain.choices[0].text, expected[0].text)
  })

  t.test('tokens as ids in logprobs', async (t) => {
    const asked = { max_tokens: 2, temperature: 0, return_tokens_as_token_ids: true, return_token_ids: true }
    const { body } = await served.post('/v1/completions', { prompt, logprobs: 1, ...asked })
    const [{ token_ids, logprobs }] = body.choices
    t.same(
      logprobs.tokens,
      token_ids.map((id: number) => `token_id:${id}`),
    )
    t.ok(Object.keys(logprobs.top_logprobs[0]).every((text) => text.startsWith('token_id:')))
    const messages = [{ role: 'user', content: 'Hello' }]
    const { body: chat } = await served.post('/v1/chat/completions', { messages, logprobs: true, top_logprobs: 1, ...asked })
    const [entry] = chat.choices[0].logprobs.content
    t.equal(entry.token, `token_id:${chat.choices[0].token_ids[0]}`)
    t.equal(Buffer.from(entry.bytes).toString().startsWith('token_id'), false, 'bytes stay the text')
  })

  t.test('a trailing slash, and fields that mean nothing', async (t) => {
    const { status } = await served.post('/v1/completions/', {
      prompt,
      max_tokens: 1,
      kv_transfer_params: null,
      verbosity: 'low',
    })
    t.equal(status, 200)
    t.equal((await request(`${served.url}/v1/models/pirate/`)).json.id, 'pirate')
    t.equal((await request(`${served.url}/ui/`)).status, 200)
    t.equal((await request(`${served.url}/v1//`)).status, 404)
  })

  t.test('/tokenizer_info has what a remote tokenizer needs', async (t) => {
    const { json } = await request(`${served.url}/tokenizer_info`)
    t.type(json.tokenizer_class, 'string')
    t.type(json.eos_token, 'string')
    t.match(json.chat_template, /messages/)
  })

  const python = spawnSync('python3', ['-c', 'import openapi_spec_validator'])
  const skip = python.status === 0 ? false : 'python3 has no openapi_spec_validator'
  t.test('the API document is valid OpenAPI 3.1', { skip }, async (t) => {
    const { json } = await request(`${served.url}/openapi.json`)
    t.match(json.openapi, /^3\.1/)
    t.same(json, (await request(`${served.url}/docs/json`)).json)
    const validate = 'import json,sys;from openapi_spec_validator import validate;validate(json.load(sys.stdin))'
    const { status, stderr } = spawnSync('python3', ['-c', validate], { input: JSON.stringify(json), encoding: 'utf8' })
    t.equal(status, 0, stderr)
  })
})
