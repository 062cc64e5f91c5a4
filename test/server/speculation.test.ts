/** What clients see of speculative decoding: nothing. Streams, stop texts, logprobs, usage, several answers and adapters are as without it, and the metrics tell of the drafts. */
import t from 'tap'
import { fakeServing } from '../support/fake-serving.ts'
import { request } from '../support/http.ts'
import { type Served, startServed } from '../support/served.ts'

const config = { method: 'ngram', num_speculative_tokens: 5, prompt_lookup_min: 1, prompt_lookup_max: 3 }
const line = 'The captain has the map, and the map has the captain.'
const repeated = `${line} ${line} ${line} The captain`

/** An answer of one token, G, over and over: every draft is right. */
const one = { prompt: repeated, max_tokens: 40, temperature: 0, allowed_token_ids: [45], ignore_eos: true }

const asks: Record<string, object> = {
  greedy: { prompt: repeated, max_tokens: 200, temperature: 0, ignore_eos: true },
  'one of few tokens': {
    prompt: repeated,
    max_tokens: 60,
    allowed_token_ids: [70, 71, 72],
    temperature: 0.1,
    seed: 3,
    ignore_eos: true,
  },
  'with logprobs': { prompt: repeated, max_tokens: 40, temperature: 0, logprobs: 2 },
  drawn: { prompt: repeated, max_tokens: 50, temperature: 0.8, top_p: 0.9, seed: 7, n: 2 },
  penalised: { prompt: repeated, max_tokens: 40, temperature: 0, presence_penalty: 0.5, repetition_penalty: 1.1 },
  'an adapter': { model: 'pirate', prompt: repeated, max_tokens: 50, temperature: 0 },
  'a stop text': { prompt: repeated, max_tokens: 60, temperature: 0, stop: ['a', 'ptain'] },
  'a stop text in the middle of a draft': { ...one, stop: ['GGGGGGG'], logprobs: 1, return_token_ids: true },
  'a stop text that counts from the middle of a draft on': {
    ...one,
    stop: ['GGGG'],
    min_tokens: 9,
    include_stop_str_in_output: true,
  },
  'an answer that is whole before nothing is left to be sampled': { ...one, stop: ['GGGGGGG'], bad_words: ['GGGGGGGG'] },
  'nothing left to be sampled': { ...one, bad_words: ['GGGGGGGG'] },
  'a bound': { prompt: repeated, max_tokens: 7, temperature: 0, ignore_eos: true },
  'held to a format': {
    prompt: repeated,
    max_tokens: 30,
    temperature: 0,
    structured_outputs: { regex: '(the map )+' },
  },
}

/** Each answer without what differs from request to request. */
async function answersOf(served: Served) {
  const all: Record<string, unknown> = {}
  await Promise.all(
    Object.entries(asks).flatMap(([name, ask]) => [
      served.post('/v1/completions', { model: 'demo', ...ask }).then(({ status, body }) => {
        all[name] = { status, choices: body.choices, usage: body.usage, error: body.error }
      }),
      streamed(served, ask).then((text) => {
        all[`${name}, streamed`] = text
      }),
    ]),
  )
  return all
}

/** What a stream adds up to, by choice: its text, its logprobs, its end; and the usage, or the error. */
async function streamed(served: Served, ask: object) {
  const response = await fetch(`${served.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'demo', ...ask, stream: true, stream_options: { include_usage: true } }),
  })
  const choices: { text: string; tokens: string[]; logprobs: number[]; finish?: string }[] = []
  let usage: unknown
  for (const event of (await response.text()).split('\n\n')) {
    if (!event.startsWith('data: {')) continue
    const chunk = JSON.parse(event.slice(6))
    usage = chunk.usage ?? chunk.error ?? usage
    for (const { index, text, logprobs, finish_reason } of chunk.choices ?? []) {
      choices[index] ??= { text: '', tokens: [], logprobs: [] }
      const choice = choices[index]
      choice.text += text
      choice.tokens.push(...(logprobs?.tokens ?? []))
      choice.logprobs.push(...(logprobs?.token_logprobs ?? []))
      if (finish_reason) choice.finish = finish_reason
    }
  }
  return { choices, usage }
}

t.test('answers are those of a server without it', async (t) => {
  const plain = await startServed(t, {})
  const drafting = await startServed(t, { 'speculative-config': JSON.stringify(config) })
  const expected = await answersOf(plain)
  for (let round = 0; round < 2; round++) {
    const got = await answersOf(drafting)
    for (const [name, answer] of Object.entries(expected)) t.same(got[name], answer, name)
  }
  t.same(await drafting.idleComplaints(), [])

  const metrics = await (await fetch(`${drafting.url}/metrics`)).text()
  const value = (name: string) => Number(new RegExp(`^vllm:spec_decode_${name}_total\\{[^}]*\\} (\\d+)$`, 'm').exec(metrics)?.[1])
  t.ok(value('num_drafts') > 0)
  t.ok(value('num_accepted_tokens') > 0 && value('num_accepted_tokens') <= value('num_draft_tokens'))
  const places = [...metrics.matchAll(/^vllm:spec_decode_num_accepted_tokens_per_pos_total\{.*position="(\d)".*\} (\d+)$/gm)]
  t.same(
    places.map(([, place]) => place),
    ['0', '1', '2', '3', '4'],
  )
  t.equal(
    places.reduce((sum, [, , tokens]) => sum + Number(tokens), 0),
    value('num_accepted_tokens'),
  )
})

t.test('tokens that come together are taken one by one: what is behind the end is not there', async (t) => {
  const fake = await fakeServing(t, (one) =>
    setImmediate(() => {
      one.send({ tokens: [45, 45, 45, 45, 45], cachedTokens: 0 })
      one.send({ finish: 'error', error: { code: 'constraint_unsatisfiable', message: 'nothing is left' } })
    }),
  )
  const complete = (body: object) =>
    request(`${fake.url}/v1/completions`, {
      body: JSON.stringify({ prompt: 'a', max_tokens: 9, return_token_ids: true, ...body }),
    })
  const stopped = { finish_reason: 'stop', stop_reason: 'GG' }
  t.match(await complete({ stop: 'GG' }), {
    status: 200,
    json: { choices: [{ ...stopped, text: '', token_ids: [45, 45] }], usage: { completion_tokens: 2 } },
  })
  t.match(await complete({ stop: 'GG', min_tokens: 4 }), {
    status: 200,
    json: { choices: [{ ...stopped, text: 'GGG', token_ids: [45, 45, 45, 45, 45] }], usage: { completion_tokens: 5 } },
  })
  t.match(await complete({ stop: 'GGGGGG' }), { status: 400 }, 'what comes after them counts where they do not end it')
})
