/** Answers of adapters that read and write text in their own way are held to a format in it: their tokenizers, and tokens that they add to the vocabulary. */
import { cpSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { adapterWith, OWN } from '../../support/own-texts.ts'
import { demoModel, fixture, temporaryFolder } from '../../support/repo.ts'
import { startServed } from '../../support/served.ts'

t.test('adapters with tokenizers of their own, beside the base', async (t) => {
  const folder = temporaryFolder(t)
  for (const [name, { files }] of Object.entries(OWN.variants)) adapterWith(path.join(folder, name), files)
  const { post, preloaded } = await startServed(t, { model: demoModel('base'), 'served-model-name': 'demo', adapters: folder })
  await preloaded
  const models = ['demo', ...Object.keys(OWN.variants)]
  const texts = await Promise.all(
    models.map(async (model, seed) => {
      const body = {
        model,
        prompt: 'the fox',
        max_tokens: 40,
        temperature: 1.5,
        seed,
        structured_outputs: { regex: '[a-d]{4} \\d{2}' },
      }
      const answer = await post('/v1/completions', body)
      return answer.body.choices?.[0].text ?? JSON.stringify(answer.body)
    }),
  )
  for (const [i, text] of texts.entries()) t.match(text, /^[a-d]{4} \d{2}$/, models[i])
})

t.test('vocabularies that adapters add to, or cut', async (t) => {
  const model = temporaryFolder(t)
  cpSync(fixture('oracle/added-heads16/base'), model, { recursive: true })
  for (const file of ['tokenizer.json', 'tokenizer_config.json'])
    cpSync(fixture('oracle/llama/base', file), path.join(model, file))
  const settings = {
    model,
    adapters: fixture('oracle/added-heads16/adapters'),
    pool: '8MiB',
    'adapter-dtype': 'float32',
  } as const
  const { post, serving, preloaded } = await startServed(t, settings)
  await preloaded
  const bodies = ['lora-r4-qv', 'saved', 'shrunk', path.basename(model)].map((name, seed) => ({
    model: name,
    prompt: [5, 6, 7],
    max_tokens: 4,
    temperature: 1,
    seed,
    return_token_ids: true,
    structured_outputs: { regex: '[^]*' },
  }))
  const answers = await Promise.all(bodies.map((body) => post('/v1/completions', body)))
  for (const [i, { status, body }] of answers.entries()) {
    t.equal(status, 200, `${bodies[i].model}: ${JSON.stringify(body.error)}`)
    for (const id of body.choices?.[0].token_ids ?? []) {
      const ends = serving.endTokenIds.includes(id)
      t.ok(ends || serving.tokenizer.spelled(id) !== undefined, `token ${id} stands for text, or ends the answer`)
    }
  }
})
