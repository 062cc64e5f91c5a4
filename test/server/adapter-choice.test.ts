/** Which adapter serves a request, and how the answer says so. */
import { cpSync, rmSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { goldenRows, openaiClient } from '../support/openai.ts'
import { demoModel, temporaryFolder } from '../support/repo.ts'
import { startServed } from '../support/served.ts'

t.test('adapter choice', async (t) => {
  // Two names of our own: one that is no RFC 9651 token, and one that cannot be loaded.
  const odd = temporaryFolder(t)
  cpSync(demoModel('adapters/robot'), path.join(odd, 'odd'), { recursive: true })
  cpSync(demoModel('adapters/robot'), path.join(odd, 'broken'), { recursive: true })
  rmSync(path.join(odd, 'broken', 'adapter_model.safetensors'))
  const adapter = { 'my "robot" №1': path.join(odd, 'odd'), broken: path.join(odd, 'broken') }
  const served = await startServed(t, { adapter })
  const [pirate] = goldenRows('pirate')
  const [base] = goldenRows('base')
  const digest = (name: string) => served.serving.adapters.get(name)?.digest
  const ask = (model: string | undefined, headers: Record<string, string> = {}, row = pirate) =>
    served.post('/v1/chat/completions', { model, messages: row.messages, temperature: 0, max_tokens: 64 }, headers)
  const text = async (...args: Parameters<typeof ask>) => (await ask(...args)).body.choices[0].message.content

  t.test('by `model`: the adapter, base:adapter, the base, and the base when there is none', async (t) => {
    for (const model of ['pirate', 'demo:pirate']) {
      const answer = await ask(model)
      t.equal(answer.body.choices[0].message.content, pirate.text)
      t.equal(answer.body.model, 'pirate')
      t.equal(answer.headers.get('x-lora-adapter'), 'pirate')
      t.equal(answer.headers.get('x-lora-digest'), digest('pirate'))
    }
    for (const model of ['demo', undefined]) {
      const answer = await ask(model, {}, base)
      t.equal(answer.body.choices[0].message.content, base.text)
      t.equal(answer.body.model, 'demo')
      t.equal(answer.headers.get('x-lora-adapter'), null)
      t.equal(answer.headers.get('x-lora-digest'), null)
    }
  })

  t.test('a name beyond ASCII goes back and forth in headers', async (t) => {
    const answer = await ask('my "robot" №1')
    t.equal(answer.body.model, 'my "robot" №1')
    const header = answer.headers.get('x-lora-adapter') as string
    const again = await ask(undefined, { 'x-lora-adapter': header })
    t.equal(again.status, 200)
    t.equal(again.body.model, 'my "robot" №1')
  })

  t.test('x-lora-adapter goes before the SageMaker header, which goes before `model`', async (t) => {
    const sagemaker = { 'x-amzn-sagemaker-adapter-identifier': 'shout' }
    t.equal((await ask('robot', { 'x-lora-adapter': 'pirate', ...sagemaker })).body.model, 'pirate')
    t.equal((await ask('robot', sagemaker)).body.model, 'shout')
    t.equal((await ask('robot')).body.model, 'robot')
    t.equal((await ask('no such model', { 'x-lora-adapter': 'pirate' })).body.model, 'pirate', 'what loses is not even read')
    t.equal(await text('robot', { 'x-lora-adapter': 'demo' }, base), base.text, 'the header can ask for the base')
    t.equal((await ask('robot', { 'x-lora-adapter': 'demo:pirate' })).body.model, 'pirate')
  })

  t.test('a stream says it in its head', async (t) => {
    const client = openaiClient(served, { 'x-lora-adapter': 'pirate' })
    const { data, response } = await client.chat.completions
      .create({ model: 'demo', messages: pirate.messages, stream: true, max_tokens: 1 })
      .withResponse()
    t.equal(response.headers.get('x-lora-adapter'), 'pirate')
    t.equal(response.headers.get('x-lora-digest'), digest('pirate'))
    for await (const chunk of data) t.equal(chunk.model, 'pirate')
  })

  t.test('a mix by weight', async (t) => {
    const both = await ask(undefined, { 'x-lora-adapter': 'pirate;w=0.5,  shout;w=-0.25' })
    t.equal(both.body.model, 'pirate;w=0.5, shout;w=-0.25')
    t.equal(both.headers.get('x-lora-adapter'), both.body.model)
    t.equal(both.headers.get('x-lora-digest'), `${digest('pirate')}, ${digest('shout')}`)
    t.equal(await text(undefined, { 'x-lora-adapter': 'pirate;w=1' }), pirate.text)
    t.equal(await text(undefined, { 'x-lora-adapter': 'pirate;w=1.0, shout;w=0' }), pirate.text, 'weight 0 adds nothing')
    t.equal(await text(undefined, { 'x-lora-adapter': 'pirate;w=0' }, base), base.text)
    t.not(await text(undefined, { 'x-lora-adapter': 'pirate;w=3' }), pirate.text, 'three times the adapter is another')
  })

  t.test('a name that is no token is a string, and comes back as one', async (t) => {
    const name = 'my "robot" №1'
    const answer = await ask(name)
    t.equal(answer.status, 200)
    t.equal(answer.body.model, name)
    t.equal(answer.headers.get('x-lora-digest'), digest('robot'), 'the digest is of the content')
    const quoted = await ask(undefined, { 'x-lora-adapter': '"pirate"' })
    t.equal(quoted.body.model, 'pirate')
  })

  t.test('an unknown name is 404 with the nearest names', async (t) => {
    for (const [model, headers, param] of [
      ['pirat', {}, 'model'],
      ['demo:pirat', {}, 'model'],
      [undefined, { 'x-lora-adapter': 'shout, pirat' }, 'x-lora-adapter'],
      [undefined, { 'x-amzn-sagemaker-adapter-identifier': 'pirat' }, 'x-amzn-sagemaker-adapter-identifier'],
    ] as const) {
      const answer = await ask(model, headers)
      t.equal(answer.status, 404)
      t.match(answer.body.error, {
        message: 'The model `pirat` does not exist. Did you mean `pirate`?',
        type: 'not_found_error',
        param,
        code: 'model_not_found',
      })
    }
    t.equal((await ask('something quite different')).body.error.message, 'The model `something quite different` does not exist.')
    await t.rejects(
      openaiClient(served).completions.create({ model: 'nobody', prompt: 'a' }),
      { status: 404, code: 'model_not_found', param: 'model' },
      "openai's client knows the error",
    )
  })

  t.test('an adapter that was refused is 400 with the reason', async (t) => {
    const answer = await ask('broken')
    t.equal(answer.status, 400)
    t.match(answer.body.error, { code: 'adapter_refused', param: 'model', message: /`broken` cannot be served: .*adapter_model/ })
  })

  t.test('a header that is no such list is 400', async (t) => {
    for (const [value, message] of [
      ['pirate;w', /the weight of pirate must be a number/],
      ['pirate;w="0.5"', /the weight of pirate must be a number/],
      ['pirate;weight=1', /has the parameter weight; only w/],
      ['pirate, pirate;w=0.5', /names pirate twice/],
      ['robot, "demo:robot"', /names demo:robot twice/],
      ['demo, pirate', /mixes demo, the base model/],
      ['pirate,', /must be a list like/],
      ['"pirate', /must be a list like/],
      ['1', /each item must be an adapter name/],
      ['(pirate shout)', /each item must be an adapter name/],
      ['', /it names no adapter/],
      [Array.from({ length: 17 }, (_, i) => `a${i}`).join(', '), /names 17 adapters; at most 16/],
    ] as const) {
      const answer = await ask(undefined, { 'x-lora-adapter': value })
      t.equal(answer.status, 400, value)
      t.match(answer.body.error, { message, param: 'x-lora-adapter', code: 'invalid_request' }, value)
    }
  })
})
