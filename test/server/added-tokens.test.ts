/** Requests that name tokens which an adapter adds: served for it, refused for others, with the field and its vocabulary. */
import { cpSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { fixture, readJson, temporaryFolder } from '../support/repo.ts'
import { startServed } from '../support/served.ts'

t.test('token ids are checked against the vocabulary of the adapter that is asked for', async (t) => {
  const model = temporaryFolder(t)
  cpSync(fixture('oracle/added-heads16/base'), model, { recursive: true })
  for (const file of ['tokenizer.json', 'tokenizer_config.json'])
    cpSync(fixture('oracle/llama/base', file), path.join(model, file))
  const { post, url } = await startServed(t, {
    model,
    adapters: fixture('oracle/added-heads16/adapters'),
    pool: '8MiB',
    'adapter-dtype': 'float32',
  })
  const ask = (adapter: string, fields: object) =>
    post('/v1/completions', {
      model: adapter,
      prompt: [5, 6, 7],
      max_tokens: 2,
      temperature: 0,
      return_token_ids: true,
      ...fields,
    })
  const base = path.basename(model)
  for (const [adapter, last] of [
    [base, 319],
    ['lora-r4-qv', 319],
    ['saved', 324],
    ['shrunk', 310],
  ] as const) {
    const over = last + 1
    for (const [field, fields] of [
      ['prompt', { prompt: [5, over] }],
      ['prompt', { prompt: [[5], [5, over]] }],
      ['stop_token_ids', { stop_token_ids: [3, over] }],
      ['allowed_token_ids', { allowed_token_ids: [over] }],
      ['logit_bias', { logit_bias: { 4: 1, [over]: 1 } }],
    ] as const) {
      const { status, body } = await ask(adapter, fields)
      t.equal(status, 400, `${adapter}: ${field} ${over}`)
      t.match(body.error, { message: new RegExp(`^${field}\\S*: ${over} is not a token id of .*\\(0 to ${last}\\)`) })
      t.match(body.error.param, field)
    }
    const { status, body } = await ask(adapter, { prompt: [5, last], logit_bias: { [last]: 100 }, stop_token_ids: [last] })
    t.equal(status, 200, `${adapter}: ${last}`)
    t.match(body.choices[0], { token_ids: [last], finish_reason: 'stop', stop_reason: last })
  }
  const look = async (adapter: string) => (await fetch(`${url}/adapters/${adapter}`)).json() as Promise<{ vocab_size?: number }>
  t.match(await look('saved'), { state: 'loaded', vocab_size: 325 })
  t.equal((await look('lora-r4-qv')).vocab_size, undefined)
  const mixed = await post(
    '/v1/completions',
    { prompt: [5, 320], max_tokens: 1 },
    { 'x-lora-adapter': 'saved, lora-r4-qv;w=0.5' },
  )
  t.equal(mixed.status, 400)
  t.match(mixed.body.error.message, /320 is not a token id of .* \(0 to 319\)/)
})

t.test('without room for added tokens such an adapter is refused, and says which setting', async (t) => {
  const model = temporaryFolder(t)
  cpSync(fixture('oracle/added-heads16/base'), model, { recursive: true })
  for (const file of ['tokenizer.json', 'tokenizer_config.json'])
    cpSync(fixture('oracle/llama/base', file), path.join(model, file))
  const { post } = await startServed(t, {
    model,
    adapters: fixture('oracle/added-heads16/adapters'),
    pool: '8MiB',
    'max-extra-tokens': 0,
  })
  const ask = (adapter: string) => post('/v1/completions', { model: adapter, prompt: [5], max_tokens: 1 })
  const { status, body } = await ask('untrained')
  t.equal(status, 400)
  t.match(body.error, { code: 'adapter_refused', message: /at most 0 may be added: serve with --max-extra-tokens 3/ })
  for (const adapter of ['lora-r4-qv', 'shrunk']) t.equal((await ask(adapter)).status, 200, adapter)
})

t.test('with a tokenizer of its own, text of its chat markers becomes its tokens and back', async (t) => {
  const model = temporaryFolder(t)
  cpSync(fixture('oracle/added-tied-heads16/base'), model, { recursive: true })
  const tokenizer = fixture('oracle/llama/base', 'tokenizer.json')
  for (const file of ['tokenizer.json', 'tokenizer_config.json'])
    cpSync(fixture('oracle/llama/base', file), path.join(model, file))
  const adapters = temporaryFolder(t)
  for (const name of ['saved', 'lora-r4-qv', 'untrained'])
    cpSync(fixture('oracle/added-tied-heads16/adapters', name), path.join(adapters, name), { recursive: true })
  const own = readJson<{ added_tokens: object[] }>(tokenizer)
  const marker = (id: number) => `<|marker-${id}|>`
  for (let id = 320; id < 325; id++) {
    const flags = { single_word: false, lstrip: false, rstrip: false, normalized: false, special: false }
    own.added_tokens.push({ id, content: marker(id), ...flags })
  }
  writeFileSync(path.join(adapters, 'saved/tokenizer.json'), JSON.stringify(own))
  writeFileSync(path.join(adapters, 'untrained/tokenizer.json'), JSON.stringify(own))
  const { post } = await startServed(t, { model, adapters, pool: '8MiB', 'adapter-dtype': 'float32' })
  const ask = (adapter: string, fields: object) =>
    post('/v1/completions', {
      model: adapter,
      prompt: `the cat${marker(324)}`,
      max_tokens: 3,
      temperature: 0,
      return_token_ids: true,
      ...fields,
    })
  const { status, body } = await ask('saved', { logit_bias: { 321: 100 }, prompt_logprobs: 0 })
  t.equal(status, 200)
  t.match(body.choices[0], { token_ids: [321, 321, 321], text: marker(321).repeat(3) })
  t.equal(body.choices[0].prompt_token_ids.at(-1), 324)
  const text = await ask('lora-r4-qv', {})
  t.notOk(text.body.choices[0].prompt_token_ids.includes(324), 'for others it is text')
  const refused = await ask('untrained', {})
  t.equal(refused.status, 400)
  t.match(refused.body.error, { code: 'adapter_refused', message: /tokenizer\.json.*rows for the ids below 323/ })
})
