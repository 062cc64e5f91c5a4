/** Structured output over HTTP, on the demo model: what comes is always of the format, whatever is beside it. */
import { isDeepStrictEqual } from 'node:util'
import Ajv from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import t from 'tap'
import { startServed } from '../../support/served.ts'

// biome-ignore lint/suspicious/noExplicitAny: CommonJS packages, whose types say default where there is none
const ajv = new (Ajv as any)({ strict: false, formats: { duration: true } })
// biome-ignore lint/suspicious/noExplicitAny: as above
;(addFormats as any)(ajv)

const CHAT = '/v1/chat/completions'
const messages = [{ role: 'user', content: 'Tell me something.' }]
const ofSchema = (schema: object, strict?: boolean) => ({
  response_format: { type: 'json_schema', json_schema: { name: 'it', schema, strict } },
})
const person = {
  type: 'object',
  properties: { name: { type: 'string', maxLength: 6 }, age: { type: 'integer', minimum: 0, maximum: 99 } },
  required: ['name', 'age'],
}

const settings = { pool: '64MiB', 'max-sequences': 16 }

t.test('each way to ask, on both routes, alone and with choices, streamed and with logprobs', async (t) => {
  const { post, url } = await startServed(t, settings)
  const texts = async (fields: object, path = CHAT) => {
    const prompt = path === CHAT ? { messages } : { prompt: 'Once' }
    const { status, body } = await post(path, { ...prompt, max_tokens: 200, ...fields })
    if (status !== 200) throw new Error(JSON.stringify(body))
    return body.choices.map((choice: { text?: string; message: { content: string }; finish_reason: string }) => {
      t.equal(choice.finish_reason, 'stop', JSON.stringify(fields))
      return choice.text ?? choice.message.content
    })
  }
  for (const path of [CHAT, '/v1/completions']) {
    t.match(await texts({ structured_outputs: { choice: ['yes', 'no'] } }, path), [/^(yes|no)$/])
    t.match(await texts({ structured_outputs: { regex: '[a-c]{3}-\\d{2}' }, n: 3, temperature: 1.5 }, path), [
      /^[a-c]{3}-\d{2}$/,
      /^[a-c]{3}-\d{2}$/,
      /^[a-c]{3}-\d{2}$/,
    ])
    t.match(await texts({ structured_outputs: { grammar: 'root ::= "x" [0-9]{2}' } }, path), [/^x\d\d$/])
    for (const fields of [
      ofSchema(person),
      ofSchema(person, true),
      { structured_outputs: { json: person } },
      { structured_outputs: { json: JSON.stringify(person) } },
    ]) {
      const [text] = await texts({ ...fields, temperature: 1.5 }, path)
      t.ok(ajv.validate(person, JSON.parse(text)), text)
    }
    const tag = {
      format: {
        type: 'sequence',
        elements: [
          { type: 'const_string', value: '<t>' },
          { type: 'regex', pattern: '[ab]{2}' },
        ],
      },
    }
    t.match(await texts({ structured_outputs: { structural_tag: tag } }, path), [/^<t>[ab]{2}$/])
    t.match(await texts({ structured_outputs: { structural_tag: JSON.stringify(tag) } }, path), [/^<t>[ab]{2}$/])
    t.match(await texts({ response_format: { type: 'structural_tag', ...tag } }, path), [/^<t>[ab]{2}$/])
    t.equal((await texts({ response_format: { type: 'text' }, max_tokens: 300, temperature: 0 }, path)).length, 1)
  }
  const { body: object } = await post(CHAT, { messages, max_tokens: 12, response_format: { type: 'json_object' } })
  t.match(object.choices[0].message.content, /^\{/)
  t.equal(object.choices[0].finish_reason, 'length', 'an answer that is cut says so')
  const { body: scored } = await post(CHAT, {
    messages,
    ...ofSchema(person),
    logprobs: true,
    top_logprobs: 3,
    presence_penalty: 1,
  })
  t.ok(
    scored.choices[0].logprobs.content.every((one: { logprob: number }) => Number.isFinite(one.logprob)),
    'logprobs are of the untouched logits',
  )
  const streamed = await fetch(`${url}${CHAT}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ messages, stream: true, temperature: 1, ...ofSchema(person) }),
  })
  const events = (await streamed.text()).split('\n\n').filter((event) => event.startsWith('data: {'))
  const whole = events.map((event) => JSON.parse(event.slice(6)).choices[0]?.delta.content ?? '').join('')
  t.ok(ajv.validate(person, JSON.parse(whole)), whole)
})

t.test('with what else a request may ask: intersections, ends, and none left', async (t) => {
  const { post, serving, idleComplaints } = await startServed(t, settings)
  const { tokenizer } = serving
  const id = (text: string) => {
    for (let i = 0; i < serving.vocabSize; i++) if (tokenizer.token(i).text === text) return i
    throw new Error(`no token is ${text}`)
  }
  const ask = (fields: object) => post(CHAT, { messages, max_tokens: 20, temperature: 1, ...fields })
  const choice = (choices: string[]) => ({ structured_outputs: { choice: choices } })
  const [eos] = serving.endTokenIds
  const only = await ask({ ...choice(['a', 'b', 'c']), allowed_token_ids: [id('b'), eos] })
  t.equal(only.body.choices[0].message.content, 'b', 'allowed_token_ids: what both allow')
  const biased = await ask({ ...choice(['a', 'b', 'c']), logit_bias: { [id('c')]: 100 } })
  t.equal(biased.body.choices[0].message.content, 'c', 'logit_bias')
  const none = await ask({ ...choice(['a']), allowed_token_ids: [id('b'), eos] })
  t.equal(none.status, 400)
  t.match(none.body.error, { param: 'structured_outputs.choice', message: /allowed_token_ids/ })
  const short = await ask({ ...choice(['a']), min_tokens: 5 })
  t.match(short.body.error, { param: 'structured_outputs.choice', message: /min_tokens/ })
  const long = await ask({ structured_outputs: { regex: 'a+' }, min_tokens: 8 })
  t.match(long.body.choices[0].message.content, /^a+$/)
  t.ok(long.body.usage.completion_tokens >= 8, 'min_tokens keeps the end away where more may come')
  const ignored = await ask({ structured_outputs: { regex: '[ab]{1,100}' }, ignore_eos: true })
  t.equal(ignored.body.choices[0].finish_reason, 'length', 'an end that is ignored is not chosen before the format ends')
  const stopped = await ask({ structured_outputs: { regex: 'x{5}' }, stop: 'xxx' })
  t.match(stopped.body.choices[0], { message: { content: '' }, finish_reason: 'stop', stop_reason: 'xxx' })
  const twice = await ask({ ...choice(['a']), ...ofSchema(person) })
  t.match(twice.body.error, { param: 'structured_outputs', message: /both/ })
  t.same(await idleComplaints(), [])
})

t.test('unconstrained neighbours get the tokens that they get alone, and constrained ones too, with adapters', async (t) => {
  const { post, serving } = await startServed(t, settings)
  const adapters = serving.adapters.list().slice(0, 3)
  const plain = Array.from({ length: 6 }, (_, i) => ({
    model: i % 2 ? adapters[i % 3].name : serving.model.name,
    messages: [{ role: 'user', content: `Story ${i}` }],
    max_tokens: 40,
    temperature: 0.8,
    seed: i,
  }))
  const constrained = plain.map((body, i) => ({ ...body, seed: 100 + i, max_tokens: 120, ...ofSchema(person) }))
  const ask = async (body: object) => {
    const answer = await post(CHAT, { ...body, return_token_ids: true })
    return answer.body.choices[0].token_ids
  }
  const alone: unknown[] = []
  for (const body of [...plain, ...constrained]) alone.push(await ask(body))
  const together = await Promise.all([...plain, ...constrained].map(ask))
  for (const [i, tokens] of together.entries()) t.ok(isDeepStrictEqual(tokens, alone[i]), `answer ${i} is the same`)
})

t.test('a small pool: constrained answers are preempted and go on as they would have', async (t) => {
  const roomy = await startServed(t, settings)
  const tight = await startServed(t, { ...settings, pool: '3MiB', 'prefix-cache': false })
  const bodies = Array.from({ length: 8 }, (_, seed) => ({
    messages,
    max_tokens: 400,
    temperature: 1,
    seed,
    structured_outputs: { regex: '\\[\\d{3}(, \\d{3}){59}\\]' },
  }))
  const contents = async ({ post }: typeof roomy) => {
    const answers = await Promise.all(bodies.map((body) => post(CHAT, body)))
    return answers.map(({ body }) => body.choices?.[0].message.content ?? JSON.stringify(body))
  }
  const wanted = await contents(roomy)
  t.same(await contents(tight), wanted)
  t.ok(
    tight.serving.engine.snapshot.counters.preemptions > 0,
    `${tight.serving.engine.snapshot.counters.preemptions} preemptions`,
  )
  for (const text of wanted) t.match(text, /^\[\d{3}(, \d{3}){59}\]$/)
})

t.test('with steps that overlap', async (t) => {
  const { post } = await startServed(t, { ...settings, 'async-scheduling': 'on' })
  const bodies = Array.from({ length: 8 }, (_, i) => ({
    messages,
    max_tokens: 150,
    temperature: 1,
    seed: i,
    ...(i % 2 && ofSchema(person)),
  }))
  const answers = await Promise.all(bodies.map((body) => post(CHAT, body)))
  for (const [i, { status, body }] of answers.entries()) {
    t.equal(status, 200)
    if (i % 2) t.ok(ajv.validate(person, JSON.parse(body.choices[0].message.content)))
  }
})
