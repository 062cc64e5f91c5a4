/** Answers held to a format on the CUDA engine without a GPU: masks travel with a step's inputs, and a row is not planned before its mask is there. */
import t from 'tap'
import { needsEmulated, serveEmulated } from '../support/emulated.ts'

t.test('constrained rows beside free ones, with adapters', needsEmulated, async (t) => {
  const { post, serving, idleComplaints } = await serveEmulated(t)
  const names = [serving.model.name, ...serving.adapters.list().map(({ name }) => name)]
  const schema = {
    type: 'object',
    properties: { n: { type: 'integer', minimum: 0, maximum: 99 }, who: { enum: ['mouse', 'owl'] } },
    required: ['n', 'who'],
  }
  const bodies = Array.from({ length: 6 }, (_, i) => ({
    model: names[i % names.length],
    messages: [{ role: 'user', content: `Say ${i}` }],
    max_tokens: i % 3 === 2 ? 12 : 60,
    temperature: 0.7,
    seed: i,
    return_token_ids: true,
    ...(i % 3 === 0 && { structured_outputs: { json: schema } }),
    ...(i % 3 === 1 && {
      structured_outputs: { choice: ['yes', 'no'] },
      allowed_token_ids: Array.from({ length: 1000 }, (_, id) => id),
    }),
  }))
  const ask = async (body: object) => {
    const answer = await post('/v1/chat/completions', body)
    if (answer.status !== 200) throw new Error(JSON.stringify(answer.body))
    return answer.body.choices[0]
  }
  const together = await Promise.all(bodies.map(ask))
  for (const [i, { message, finish_reason }] of together.entries()) {
    if (i % 3 === 0 && finish_reason === 'stop') {
      const { n, who } = JSON.parse(message.content)
      t.ok(Number.isInteger(n) && n >= 0 && n <= 99 && ['mouse', 'owl'].includes(who), message.content)
    }
    if (i % 3 === 1) t.match(message.content, /^(yes|no)$/)
  }
  t.ok(together.filter(({ finish_reason }) => finish_reason === 'stop').length >= 2, 'some have ended')
  for (const i of [1, 2]) t.same((await ask(bodies[i])).token_ids, together[i].token_ids, `answer ${i} is the same alone`)
  const none = await post('/v1/chat/completions', { ...bodies[1], allowed_token_ids: [0] })
  t.equal(none.status, 400)
  t.equal(none.body.error.param, 'structured_outputs.choice')
  t.same(await idleComplaints(), [])
})
