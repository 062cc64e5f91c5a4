/** `--dtype` and `--quantization` from the setting to the answers, on the CPU: the demo model's golden rows that no rounding can change. */
import t from 'tap'
import { request } from '../support/http.ts'
import { goldenRows, openaiClient } from '../support/openai.ts'
import { type Served, startServed } from '../support/served.ts'

/** Rows of the base and of adapters that act on weights, on scales and on the head. */
const rows = ['base', 'pirate', 'json', 'spanish'].flatMap((model) => goldenRows(model).slice(0, 4))

async function logprobs(served: Served): Promise<number[]> {
  const body = { model: 'demo', prompt: 'Once there was a fox.', max_tokens: 0, echo: true, logprobs: 0 }
  const { choices } = (await served.post('/v1/completions', body)).body
  return choices[0].logprobs.token_logprobs.slice(1)
}

t.test('weights of fewer bits give the answers of the full ones', async (t) => {
  t.ok(rows.length >= 12)
  const exact = await logprobs(await startServed(t, {}))
  let least = 0
  // The checkpoint is in float16, so that with it the cache alone loses something; the others err the more the fewer bits they have: they are in use.
  for (const [setting, value, most] of [
    ['dtype', 'float16', 0.001],
    ['dtype', 'bfloat16', 0.1],
    ['quantization', 'int8', 0.3],
    ['quantization', 'int4', 0.8],
  ] as const) {
    const served = await startServed(t, { [setting]: value })
    const client = openaiClient(served)
    const answers = await Promise.all(
      rows.map(({ model, messages }) => client.chat.completions.create({ model, messages, max_tokens: 64, temperature: 0 })),
    )
    rows.forEach((row, i) => {
      const [{ message, finish_reason }] = answers[i].choices
      t.equal(message.content, row.text, `${value}: ${row.model}`)
      t.equal(finish_reason, row.finish)
    })
    const error = Math.max(...(await logprobs(served)).map((got, i) => Math.abs(got - exact[i])))
    t.ok(error > least && error < most, `${value}: logprobs err by ${error}`)
    least = error
    t.match((await request(`${served.url}/metrics`)).text, `${setting}="${value}"`)
  }
})
