/** An activated LoRA over HTTP: where it is invoked its answer is PEFT's, and in a mix it is refused with the header's name. And ranks, as the header asks for them. */
import { cpSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { fixture, readJson, temporaryFolder } from '../support/repo.ts'
import { startServed } from '../support/served.ts'

t.test('an activated LoRA', async (t) => {
  const model = temporaryFolder(t)
  cpSync(fixture('oracle/alora-heads16/base'), model, { recursive: true })
  for (const file of ['tokenizer.json', 'tokenizer_config.json'])
    cpSync(fixture('oracle/llama/base', file), path.join(model, file))
  const { post, url } = await startServed(t, {
    model,
    adapters: fixture('oracle/alora-heads16/adapters'),
    pool: '8MiB',
    'adapter-dtype': 'float32',
  })
  const golden = readJson<Record<string, { prompt: number[]; greedy: number[] }[]>>(fixture('oracle/alora-heads16/golden.json'))
  const [{ prompt: plain }, , , , { prompt, greedy }] = golden.alora
  const ask = (prompt: number[], headers: Record<string, string>) =>
    post('/v1/completions', { prompt, max_tokens: 24, temperature: 0, ignore_eos: true, return_token_ids: true }, headers)
  const one = await ask(prompt, { 'x-lora-adapter': 'alora' })
  t.same(one.body.choices[0].token_ids, greedy)
  t.same(
    (await ask(plain, { 'x-lora-adapter': 'alora' })).body.choices[0].token_ids,
    (await ask(plain, {})).body.choices[0].token_ids,
    'not invoked: the base',
  )
  t.match(await (await fetch(`${url}/adapters/alora`)).json(), { method: 'alora' })
  const mixed = await ask(prompt, { 'x-lora-adapter': 'lora, alora;w=0.5' })
  t.equal(mixed.status, 400)
  t.match(mixed.body.error, { param: 'x-lora-adapter', code: 'invalid_request', message: /alora is an activated LoRA/ })
})

t.test('ranks', async (t) => {
  const model = temporaryFolder(t)
  cpSync(fixture('oracle/llama-heads16/base'), model, { recursive: true })
  for (const file of ['tokenizer.json', 'tokenizer_config.json'])
    cpSync(fixture('oracle/llama/base', file), path.join(model, file))
  const adapters = temporaryFolder(t)
  for (const from of ['oracle/llama-heads16/adapters', 'ranks/adapters']) cpSync(fixture(from), adapters, { recursive: true })
  const { post } = await startServed(t, { model, adapters, pool: '8MiB', 'adapter-dtype': 'float32' })
  const golden = readJson<Record<string, { prompt: number[]; greedy: number[] }[]>>(fixture('ranks/golden.json'))
  const ask = (prompt: number[], header: string) =>
    post(
      '/v1/completions',
      { prompt, max_tokens: 16, temperature: 0, ignore_eos: true, return_token_ids: true },
      { 'x-lora-adapter': header },
    )
  for (const [header, told] of [
    ['lora-r8-attn;rank=5', 'lora-r8-attn;rank=5'],
    ['lora-r8-attn;rank=40', 'lora-r8-attn;rank=8'],
    ['lora-r8-attn;w=0.7;rank=2, two-blocks;w=-0.4;rank=17', 'lora-r8-attn;w=0.7;rank=2, two-blocks;w=-0.4;rank=17'],
  ]) {
    const [{ prompt, greedy }] = golden[header]
    const answer = await ask(prompt, header)
    t.equal(answer.status, 200, header)
    t.same(answer.body.choices[0].token_ids, greedy, header)
    t.equal(answer.headers.get('x-lora-adapter'), told)
    t.equal(answer.body.model, told)
  }
  for (const [header, message] of [
    ['lora-r8-attn;rank=0', /the rank of lora-r8-attn must be an integer from 1/],
    ['lora-r8-attn;rank=2.5', /the rank of lora-r8-attn must be an integer from 1/],
    ['lora-r8-attn;rank="2"', /the rank of lora-r8-attn must be an integer from 1/],
    ['ia3;rank=2', /ia3 takes no rank/],
    ['lora-r8-attn, dora;w=0.5;rank=2', /dora takes no rank/],
  ] as const) {
    const { status, body } = await ask([5, 6], header)
    t.equal(status, 400, header)
    t.match(body.error, { param: 'x-lora-adapter', code: 'invalid_request', message })
  }
})
