/** The utility routes over a real engine: what they tell agrees with what was generated. */
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
    t.equal(grown('lorikeet_adapter_loads_total'), 1)
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
