/** An activated LoRA over HTTP: where it is invoked its answer is PEFT's, and in a mix it is refused with the header's name. */
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
