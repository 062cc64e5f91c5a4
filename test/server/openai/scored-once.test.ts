/** Equal prompts of one request are scored once, and every choice has the same logprobs of them. */
import t from 'tap'
import { scoredOnce } from '../../../server/openai/scored-once.ts'
import { fakeServing, type Submitted } from '../../support/fake-serving.ts'
import { greedy } from '../../support/greedy.ts'
import { request } from '../../support/http.ts'
import { startServed } from '../../support/served.ts'

const choice = (promptIds: number[], promptLogprobs: number) => ({
  promptIds,
  continues: true,
  sampling: { ...greedy(4), promptLogprobs },
})
const scoredBy = (choices: { scoredBy?: number }[]) => choices.map((one) => one.scoredBy)

t.test('the first of equal prompts is scored, whether they are one list or equal ones', async (t) => {
  const shared = [1, 2, 3]
  const choices = [shared, shared, [1, 2, 4], [1, 2, 3], [1, 2], [1, 2, 4], [3, 2, 1]].map((ids) => choice(ids, 2))
  const scored = scoredOnce(choices)
  t.same(scoredBy(scored), [undefined, 0, undefined, 0, undefined, 2, undefined])
  t.same(
    scored.map(({ sampling }) => sampling.promptLogprobs),
    [2, -1, 2, -1, 2, -1, 2],
  )
  t.equal(choices[1].sampling.promptLogprobs, 2, 'what was given is as it was')
  t.same(
    scoredBy(scoredOnce(choices.map(({ promptIds }) => choice(promptIds, -1)))),
    choices.map(() => undefined),
  )
})

t.test('prompts of one hash are told apart', async (t) => {
  // FNV over 32 bits: h(a, b) = ((a·P) ^ b)·P. With a = 1 and a = 2, b differs by (1·P) ^ (2·P).
  const P = 0x01000193
  const [a, b] = [
    [1, 5],
    [2, 5 ^ P ^ Math.imul(2, P)],
  ]
  t.same(scoredBy(scoredOnce([choice(a, 0), choice(b, 0), choice([...b], 0)])), [undefined, undefined, undefined])
})

t.test('the others begin once the first is scored; a failure of the first is the failure of all', async (t) => {
  const logprobs = (token: number) => ({
    of: {
      tokens: Int32Array.of(token),
      logprob: Float32Array.of(-0.5),
      rank: Int32Array.of(1),
      topStarts: Int32Array.of(0, 0),
      topTokens: new Int32Array(0),
      topLogprobs: new Float32Array(0),
    },
    from: 0,
    to: 1,
  })
  let failing = false
  const begun: { others: number; asked: number }[] = []
  const answer = (one: Submitted, index: number) => {
    const { promptLogprobs } = one.request.sampling
    begun.push({ others: index, asked: promptLogprobs })
    setImmediate(() => {
      if (promptLogprobs < 0) return one.send({ tokens: [533], cachedTokens: 2, finish: 'length' })
      one.send({ promptLogprobs: logprobs(11) })
      if (failing) return one.send({ finish: 'error', error: { code: 'engine_failed', message: 'the engine ended' } })
      setImmediate(() => {
        t.equal(fake.submitted.length, 1, 'none of the others yet')
        one.send({ promptLogprobs: logprobs(12), tokens: [533], finish: 'length' })
      })
    })
  }
  const fake = await fakeServing(t, answer)
  const body = { prompt: [10, 11, 12], n: 3, prompt_logprobs: 0, max_tokens: 1 }
  for (const stream of [false, true]) {
    fake.submitted.length = 0
    const whole = await request(`${fake.url}/v1/completions`, { body: JSON.stringify({ ...body, stream }) })
    t.equal(whole.status, 200)
    t.same(
      fake.submitted.map((one) => one.request.sampling.promptLogprobs),
      [0, -1, -1],
    )
    const choices = stream
      ? whole.text.split('\n\n').flatMap((event) => (event.startsWith('data: {') ? JSON.parse(event.slice(6)).choices : []))
      : whole.json.choices
    t.equal(choices.length, 3)
    for (const one of choices) t.match(one.prompt_logprobs, [null, { 11: { logprob: -0.5 } }, { 12: { rank: 1 } }])
  }
  failing = true
  fake.submitted.length = 0
  const failed = await request(`${fake.url}/v1/completions`, { body: JSON.stringify(body) })
  t.match(failed, { status: 503, json: { error: { code: 'engine_unavailable' } } })
  t.equal(fake.submitted.length, 1)
  t.equal((await request(`${fake.url}/v1/completions`, { body: '{"prompt":"a"}' })).status, 200, 'nothing is held')
})

t.test('on the engine: the answer is what scoring each gives, and the prompt is computed once', async (t) => {
  const served = await startServed(t, { 'prefix-cache': true })
  const prompt = Array.from({ length: 200 }, (_, i) => 10 + ((i * 37) % 1400))
  const body = { prompt: [prompt, prompt], n: 4, prompt_logprobs: 3, echo: true, logprobs: 2, max_tokens: 3, temperature: 0 }
  const { choices } = (await served.post('/v1/completions', body)).body
  const { counters } = served.serving.engine.snapshot
  t.ok(counters.promptTokens < 400, `${counters.promptTokens} prompt tokens computed for 8 choices of 200`)
  const alone = (await served.post('/v1/completions', { ...body, prompt, n: 1 })).body.choices[0]
  t.equal(choices.length, 8)
  for (const one of choices) t.same({ ...one, index: 0 }, alone)
  t.same(await served.idleComplaints(), [])
})
