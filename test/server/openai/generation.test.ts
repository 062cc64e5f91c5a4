/** Whole answers and streams through the official client: what is written, where it ends, what is counted. */
import t from 'tap'
import { chunksOf, goldenRows, openaiClient } from '../../support/openai.ts'
import { startServed } from '../../support/served.ts'

t.test('generation', async (t) => {
  const served = await startServed(t, { 'enable-prompt-tokens-details': true })
  const client = openaiClient(served)
  const [row, other] = goldenRows('base')
  const [emoji] = goldenRows('emoji')
  const greedy = { model: 'demo', temperature: 0, max_tokens: 64 }
  const complete = (extra: object) => client.completions.create({ ...greedy, prompt: row.input_ids, ...extra })

  t.test('a completion is the golden text, whole and streamed', async (t) => {
    const answer = await complete({})
    t.match(answer, { object: 'text_completion', model: 'demo', id: /^cmpl-/, system_fingerprint: /^lorikeet/ })
    t.match(answer.choices, [{ index: 0, text: row.text, finish_reason: 'stop', logprobs: null }])
    const usage = { prompt_tokens: row.input_ids.length, completion_tokens: row.output_ids.length }
    t.match(answer.usage, { ...usage, total_tokens: row.input_ids.length + row.output_ids.length })
    const chunks = await chunksOf(await client.completions.create({ ...greedy, prompt: row.input_ids, stream: true }))
    t.equal(chunks.map((chunk) => chunk.choices[0].text).join(''), row.text)
    t.ok(chunks.length > 10, `streamed in ${chunks.length} chunks`)
    t.equal(new Set(chunks.map((chunk) => chunk.id)).size, 1, 'all chunks have one id')
    t.same(
      chunks.map((chunk) => chunk.choices[0].finish_reason).filter((reason) => reason !== null),
      ['stop'],
    )
  })

  t.test('a chat is the golden text, whole and streamed', async (t) => {
    const body = { ...greedy, messages: row.messages }
    const answer = await client.chat.completions.create(body)
    t.match(answer, { object: 'chat.completion', model: 'demo', id: /^chatcmpl-/ })
    t.match(answer.choices, [{ message: { role: 'assistant', content: row.text, refusal: null }, finish_reason: 'stop' }])
    const chunks = await chunksOf(await client.chat.completions.create({ ...body, stream: true }))
    t.same(chunks[0].choices[0].delta, { role: 'assistant', content: '' })
    t.equal(chunks.map((chunk) => chunk.choices[0].delta.content ?? '').join(''), row.text)
    t.equal(chunks.at(-1)?.choices[0].finish_reason, 'stop')
    t.ok(chunks.every((chunk) => chunk.object === 'chat.completion.chunk' && chunk.usage === undefined))
  })

  t.test("openai's own stream helper rebuilds the whole answer", async (t) => {
    const stream = client.chat.completions.stream({ ...greedy, messages: row.messages })
    t.equal(await stream.finalContent(), row.text)
  })

  t.test('message content in parts is joined', async (t) => {
    const [{ content }] = row.messages
    const messages = [{ role: 'user' as const, content: [{ type: 'text' as const, text: content }] }]
    const answer = await client.chat.completions.create({ ...greedy, messages })
    t.equal(answer.choices[0].message.content, row.text)
  })

  t.test('a stop string ends the text before it, wherever the borders of tokens lie', async (t) => {
    const ends = Array.from({ length: 12 }, (_, i) => row.text.slice(3 + 11 * i, 3 + 11 * i + 7)).filter(
      (stop) => stop.length === 7,
    )
    for (const stop of ends) {
      const wanted = row.text.slice(0, row.text.indexOf(stop))
      const [whole, chunks] = await Promise.all([
        complete({ stop: [stop, 'never written'] }),
        client.completions.create({ ...greedy, prompt: row.input_ids, stop, stream: true }).then(chunksOf),
      ])
      t.match(whole.choices[0], { text: wanted, finish_reason: 'stop', stop_reason: stop }, JSON.stringify(stop))
      t.equal(chunks.map((chunk) => chunk.choices[0].text).join(''), wanted, `${JSON.stringify(stop)} streamed`)
    }
    const [stop] = ends
    const included = await complete({ stop, include_stop_str_in_output: true })
    t.equal(included.choices[0].text, row.text.slice(0, row.text.indexOf(stop) + stop.length))
    const half = `${row.text.slice(-6)} and more`
    t.equal((await complete({ stop: half })).choices[0].text, row.text, 'what only began like a stop string is given out')
  })

  t.test('a stop token ends the text and is told', async (t) => {
    const at = 8
    const token = row.output_ids[at]
    const first = row.output_ids.indexOf(token)
    const answer = await complete({ stop_token_ids: [token], return_token_ids: true })
    t.match(answer.choices[0], { finish_reason: 'stop', stop_reason: token, token_ids: row.output_ids.slice(0, first + 1) })
    t.ok(row.text.startsWith(answer.choices[0].text) && answer.choices[0].text.length < row.text.length)
  })

  t.test('max_tokens cuts and says so', async (t) => {
    for (const max_tokens of [1, 5, 16]) {
      const answer = await complete({ max_tokens, return_token_ids: true })
      t.match(answer.choices[0], { finish_reason: 'length', token_ids: row.output_ids.slice(0, max_tokens) })
      t.equal(answer.usage?.completion_tokens, max_tokens)
    }
    const unlimited = await client.completions.create({ model: 'demo', temperature: 0, prompt: row.input_ids })
    t.equal(unlimited.usage?.completion_tokens, 16, 'completions write 16 tokens unless told otherwise')
    const chat = await client.chat.completions.create({
      ...greedy,
      max_tokens: undefined,
      max_completion_tokens: 3,
      messages: row.messages,
    })
    t.equal(chat.usage?.completion_tokens, 3)
  })

  t.test('prompts as ids and as text, one and many', async (t) => {
    const both = await complete({ prompt: [row.input_ids, other.input_ids], return_token_ids: true })
    t.match(both.choices, [
      { index: 0, text: row.text, token_ids: row.output_ids, prompt_token_ids: row.input_ids },
      { index: 1, text: other.text, token_ids: other.output_ids, prompt_token_ids: other.input_ids },
    ])
    t.equal(both.usage?.prompt_tokens, row.input_ids.length + other.input_ids.length)
    const text = `<|user|>\n${row.messages[0].content}<|end|>\n<|assistant|>\n`
    const texts = await complete({ prompt: [text, text], return_token_ids: true })
    t.match(texts.choices, [{ prompt_token_ids: row.input_ids, text: row.text }, { text: row.text }])
    t.equal((await complete({ prompt: text })).choices[0].text, row.text)
    const chunks = await chunksOf(
      await client.completions.create({ ...greedy, prompt: [row.input_ids, other.input_ids], stream: true }),
    )
    for (const [index, { text }] of [row, other].entries()) {
      const own = chunks.flatMap(({ choices }) => choices.filter((choice) => choice.index === index))
      t.equal(own.map((choice) => choice.text).join(''), text)
    }
  })

  t.test('usage: a prompt that was served before is cached; streams tell usage last when asked', async (t) => {
    const prompt = 'Once upon a time there was a small fox who lived in a green house near the river and the forest with friends.'
    const ask = () => client.completions.create({ ...greedy, prompt, max_tokens: 2 })
    const first = await ask()
    t.equal(first.usage?.prompt_tokens_details?.cached_tokens, 0)
    const again = await ask()
    const cached = again.usage?.prompt_tokens_details?.cached_tokens ?? 0
    t.ok(cached >= 16 && cached < (again.usage?.prompt_tokens ?? 0), `${cached} of ${again.usage?.prompt_tokens} cached`)
    t.equal(again.choices[0].text, first.choices[0].text)
    const salted = await client.completions.create({ ...greedy, prompt, max_tokens: 2, ...{ cache_salt: 'another tenant' } })
    t.equal(salted.usage?.prompt_tokens_details?.cached_tokens, 0, 'another salt shares nothing')
    const stream_options = { include_usage: true }
    const chunks = await chunksOf(
      await client.completions.create({ ...greedy, prompt, max_tokens: 2, stream: true, stream_options }),
    )
    t.match(chunks.at(-1), { choices: [], usage: { completion_tokens: 2, prompt_tokens: again.usage?.prompt_tokens } })
    t.ok(chunks.slice(0, -1).every((chunk) => chunk.choices.length === 1))
  })

  t.test('echo gives the prompt first', async (t) => {
    const answer = await client.completions.create({ ...greedy, prompt: 'Zoe was a', max_tokens: 3, echo: true })
    const without = await client.completions.create({ ...greedy, prompt: 'Zoe was a', max_tokens: 3 })
    t.equal(answer.choices[0].text, `Zoe was a${without.choices[0].text}`)
    const chunks = await chunksOf(
      await client.completions.create({ ...greedy, prompt: 'Zoe was a', max_tokens: 3, echo: true, stream: true }),
    )
    t.equal(chunks.map((chunk) => chunk.choices[0].text).join(''), answer.choices[0].text)
    const nothing = await client.completions.create({ ...greedy, prompt: 'Zoe was a', max_tokens: 0, echo: true })
    t.match(nothing.choices[0], { text: 'Zoe was a', finish_reason: 'length' })
    t.equal(nothing.usage?.completion_tokens, 0)
  })

  t.test('a streamed character is never cut', async (t) => {
    t.match(emoji.text, /\p{Extended_Pictographic}/u)
    const body = { ...greedy, model: 'emoji', messages: emoji.messages, return_token_ids: true }
    const chunks = await chunksOf(await client.chat.completions.create({ ...body, stream: true }))
    const deltas = chunks.map((chunk) => chunk.choices[0].delta.content ?? '')
    t.equal(deltas.join(''), emoji.text)
    t.notOk(deltas.some((delta) => delta.includes('\ufffd') || /\p{Surrogate}/u.test(delta)))
    t.ok(deltas.filter((delta) => delta === '').length > 1, 'incomplete characters were held back')
  })

  t.test('the final message can be continued', async (t) => {
    const start = row.text.slice(0, row.text.indexOf('.') + 1)
    const body = {
      ...greedy,
      messages: [...row.messages, { role: 'assistant' as const, content: start }],
      continue_final_message: true,
    }
    const answer = await client.chat.completions.create(body)
    t.equal(start + answer.choices[0].message.content, row.text)
    const echoed = await client.chat.completions.create({ ...body, ...{ echo: true } })
    t.equal(echoed.choices[0].message.content, row.text)
    const question = await client.chat.completions.create({ ...greedy, messages: row.messages, ...{ echo: true } })
    t.equal(question.choices[0].message.content, row.text, "another role's message is not echoed")
  })

  t.test('continuous usage is told per choice', async (t) => {
    const chunks = await chunksOf(
      await client.completions.create({
        ...greedy,
        prompt: [row.input_ids, other.input_ids.slice(1)],
        max_tokens: 3,
        stream: true,
        stream_options: { include_usage: true, ...{ continuous_usage_stats: true } },
      }),
    )
    for (const [index, length] of [row.input_ids.length, other.input_ids.length - 1].entries()) {
      const own = chunks.filter((chunk) => chunk.choices[0]?.index === index)
      t.match(own[0].usage, { prompt_tokens: length, completion_tokens: 1 })
      t.match(own.at(-1)?.usage, { prompt_tokens: length, completion_tokens: 3, total_tokens: length + 3 })
    }
    const prompt_tokens = row.input_ids.length + other.input_ids.length - 1
    t.match(chunks.at(-1)?.usage, { prompt_tokens, completion_tokens: 6 })
  })

  t.test('a client that goes away frees its blocks', async (t) => {
    const stream = await client.completions.create({
      ...greedy,
      prompt: row.input_ids,
      max_tokens: 900,
      stream: true,
      ...{ ignore_eos: true },
    })
    for await (const _chunk of stream) break
    stream.controller.abort()
    t.same(await served.idleComplaints(), [])
    t.match(served.serving.engine.snapshot, { running: 0, waiting: 0, blocks: { sequences: 0 } })
  })
})
