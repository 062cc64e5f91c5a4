/** Each sampling parameter changes the answer as it says. */
import t from 'tap'
import { goldenRows, openaiClient } from '../../support/openai.ts'
import { startServed } from '../../support/served.ts'

t.test('sampling', async (t) => {
  const served = await startServed(t, {})
  const client = openaiClient(served)
  const [row] = goldenRows('base')
  const end = 5
  interface Answered {
    text: string
    token_ids: number[]
    finish_reason: string
  }
  const choices = async (extra: object) => {
    const body = { model: 'demo', prompt: row.input_ids, temperature: 0, max_tokens: 24, return_token_ids: true, ...extra }
    return (await client.completions.create(body)).choices as unknown as Answered[]
  }
  const tokens = async (extra: object) => (await choices(extra))[0].token_ids

  t.test('n choices of one seed differ among themselves and come again', async (t) => {
    const ask = () => choices({ temperature: 1.5, n: 4, seed: 7 })
    const first = await ask()
    t.equal(new Set(first.map((choice) => choice.text)).size, 4)
    t.same(await ask(), first)
    t.not((await choices({ temperature: 1.5, seed: 8 }))[0].text, first[0].text, 'another seed is another text')
    t.equal((await choices({ temperature: 1.5, seed: 7 }))[0].text, first[0].text, "the first choice's seed is the request's")
    const next = await choices({ temperature: 1.5, n: 4, seed: 8 })
    t.equal(new Set([...first, ...next].map((choice) => choice.text)).size, 8, 'neighbouring seeds share no choice')
    t.equal((await client.completions.create({ model: 'demo', prompt: 'Once', n: 3, max_tokens: 2 })).usage?.completion_tokens, 6)
  })

  t.test('without a seed two requests differ', async (t) => {
    t.notSame(await tokens({ temperature: 2 }), await tokens({ temperature: 2 }))
  })

  t.test('what leaves one candidate is greedy, whatever the temperature', async (t) => {
    const greedy = row.output_ids.slice(0, 24)
    for (const only of [{ top_k: 1 }, { top_p: 1e-6 }, { min_p: 1 }])
      t.same(await tokens({ temperature: 2, seed: 1, ...only }), greedy, JSON.stringify(only))
    for (const top_k of [0, -1, 1536, 2 ** 31 - 1, 2 ** 32 + 1])
      t.notSame(await tokens({ temperature: 2, seed: 1, top_k, top_p: 1, min_p: 0 }), greedy, `top_k ${top_k}: all`)
    t.same(
      await tokens({ temperature: undefined, seed: 3 }),
      await tokens({ temperature: 1, seed: 3 }),
      'the temperature is 1 by itself',
    )
  })

  t.test('logit_bias forces and forbids', async (t) => {
    t.same(await tokens({ logit_bias: { 700: 100 }, max_tokens: 3 }), [700, 700, 700])
    const [first] = row.output_ids
    t.not((await tokens({ logit_bias: { [first]: -100 }, max_tokens: 1 }))[0], first)
  })

  t.test('allowed_token_ids leaves no other', async (t) => {
    const allowed = [284, 265, 603]
    const ids = await tokens({ allowed_token_ids: allowed, temperature: 2 })
    t.ok(ids.length === 24 && ids.every((id) => allowed.includes(id)))
    const sampled = { temperature: 2, seed: 5 }
    const once = await tokens({ allowed_token_ids: allowed, ...sampled })
    t.same(await tokens({ allowed_token_ids: [...allowed, 603, 603, 603], ...sampled }), once, 'a list is a set')
  })

  t.test('min_tokens holds the end and stops back', async (t) => {
    const { length } = row.output_ids
    const longer = await tokens({ max_tokens: length + 10, min_tokens: length + 5 })
    t.ok(longer.length >= length + 5 && !longer.slice(0, length + 4).includes(end))
    const stop = row.text.slice(4, 12)
    const [answer] = await choices({ stop, min_tokens: 20, max_tokens: 30 })
    t.ok(answer.text.includes(stop) && answer.token_ids.length >= 20)
  })

  t.test('ignore_eos goes on past the end', async (t) => {
    const { length } = row.output_ids
    const [answer] = await choices({ ignore_eos: true, max_tokens: length + 10 })
    t.equal(answer.token_ids.length, length + 10)
    t.equal(answer.token_ids[length - 1], end)
    t.equal(answer.finish_reason, 'length')
  })

  t.test('presence and frequency penalties count against what was written, by their amount', async (t) => {
    // Between a written token and a rival, with a bias that puts the written one ahead by 1: a penalty of 2 turns that, of 0.5 does not.
    const [written] = row.output_ids
    const rival = 700
    const pair = { allowed_token_ids: [written, rival], max_tokens: 2 }
    const scored = { model: 'demo', prompt: [...row.input_ids, written], temperature: 0, max_tokens: 1, logprobs: 20 }
    const lead = async (token: number) => {
      const body = { ...scored, allowed_token_ids: [token] }
      return (await client.completions.create(body)).choices[0].logprobs?.token_logprobs?.[0] as number
    }
    const logit_bias = { [rival]: (await lead(written)) - (await lead(rival)) - 1 }
    t.same(await tokens({ ...pair, logit_bias }), [written, written])
    for (const name of ['presence_penalty', 'frequency_penalty']) {
      t.same(await tokens({ ...pair, logit_bias, [name]: 2 }), [written, rival], `${name} 2`)
      t.same(await tokens({ ...pair, logit_bias, [name]: 0.5 }), [written, written], `${name} 0.5`)
    }
  })

  t.test("repetition_penalty counts against the prompt's tokens too", async (t) => {
    const prompt = [...row.input_ids, ...row.output_ids.slice(0, 15)]
    const [plain] = await tokens({ prompt, max_tokens: 1 })
    t.ok(prompt.includes(plain), 'greedy: a name that stands in the prompt')
    const [penalised] = await tokens({ prompt, max_tokens: 1, repetition_penalty: 100 })
    t.notOk(prompt.includes(penalised))
  })
})
