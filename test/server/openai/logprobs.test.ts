/** Log probabilities in their three shapes. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import t from 'tap'
import { completionLogprobs, type TextOffsets } from '../../../server/openai/logprobs.ts'
import type { Tokenizer } from '../../../server/types.ts'
import { request } from '../../support/http.ts'
import { chunksOf, goldenRows, openaiClient } from '../../support/openai.ts'
import { startServed } from '../../support/served.ts'

t.test('logprobs', async (t) => {
  const served = await startServed(t, {})
  const client = openaiClient(served)
  const [row] = goldenRows('base')
  const greedy = { model: 'demo', temperature: 0, max_tokens: 5 }

  t.test('completions: parallel arrays, offsets into the text, the chosen token among the likeliest', async (t) => {
    const answer = await client.completions.create({ ...greedy, prompt: row.input_ids, logprobs: 3 })
    const [{ text, logprobs }] = answer.choices
    const { tokens = [], token_logprobs = [], text_offset = [], top_logprobs = [] } = logprobs ?? {}
    t.equal(tokens.join(''), text)
    t.same(
      text_offset,
      tokens.map((_, i) => tokens.slice(0, i).join('').length),
    )
    t.equal(token_logprobs.length, 5)
    for (const [i, token] of tokens.entries()) {
      const top = Object.entries(top_logprobs[i])
      t.equal(top.length, 3)
      t.equal(top[0][0], token, 'greedy: the likeliest is the chosen one')
      t.equal(top[0][1], token_logprobs[i])
      t.ok(
        top.every(([, logprob], j) => logprob <= (j === 0 ? 0 : top[j - 1][1])),
        'in falling order',
      )
    }
    const chosen = await client.completions.create({ ...greedy, prompt: row.input_ids, logprobs: 0 })
    t.same(chosen.choices[0].logprobs?.token_logprobs, token_logprobs)
    t.same(Object.keys(chosen.choices[0].logprobs?.top_logprobs?.[0] ?? {}), [tokens[0]])
    const chunks = await chunksOf(
      await client.completions.create({ ...greedy, prompt: row.input_ids, logprobs: 3, stream: true }),
    )
    t.same(
      chunks.flatMap((chunk) => chunk.choices[0].logprobs?.tokens ?? []),
      tokens,
    )
    t.same(
      chunks.flatMap((chunk) => chunk.choices[0].logprobs?.text_offset ?? []),
      text_offset,
    )
  })

  t.test('all probabilities of a small set sum to one', async (t) => {
    const body = { ...greedy, prompt: row.input_ids, logprobs: 2, allowed_token_ids: row.output_ids.slice(0, 2), max_tokens: 1 }
    const answer = await client.completions.create(body)
    const top = Object.values(answer.choices[0].logprobs?.top_logprobs?.[0] ?? {})
    t.equal(top.length, 2)
    t.ok(top.every((logprob) => Number.isFinite(logprob) && logprob <= 0))
  })

  t.test('echo scores the prompt too', async (t) => {
    const body = { ...greedy, prompt: 'Zoe was a funny girl.', max_tokens: 2, echo: true, logprobs: 1 }
    const { text, logprobs } = (await client.completions.create(body)).choices[0]
    const { tokens = [], token_logprobs = [], top_logprobs = [], text_offset = [] } = logprobs ?? {}
    t.equal(tokens[0], '<|bos|>')
    t.same(text_offset.slice(0, 2), [0, 0], 'the text does not show it')
    for (const [i, token] of tokens.entries())
      if (i > 0) t.ok(text.startsWith(token, text_offset[i]), `${JSON.stringify(token)} stands at its offset`)
    t.equal(token_logprobs[0], null, 'nothing comes before the first')
    t.equal(top_logprobs[0], null)
    t.equal(tokens.slice(1).join(''), text)
    t.ok(token_logprobs.slice(1).every((logprob) => typeof logprob === 'number' && logprob <= 0))
    t.equal(text_offset.length, tokens.length)
    const only = (await client.completions.create({ ...body, max_tokens: 0 })).choices[0]
    t.same(only.logprobs?.tokens, tokens.slice(0, -2))
    t.same(only.logprobs?.token_logprobs, token_logprobs.slice(0, -2), 'as a scoring request without an answer')
    const scored = token_logprobs.slice(-2)
    const forced = await client.completions.create({ ...body, prompt: text, max_tokens: 0 })
    for (const [i, logprob] of (forced.choices[0].logprobs?.token_logprobs?.slice(-2) ?? []).entries())
      t.ok(Math.abs((logprob as number) - (scored[i] as number)) < 1e-4, 'what was written scores as it did when it was written')
  })

  t.test('offsets count characters of the text where tokens are parts of characters', async (t) => {
    const [emoji] = goldenRows('emoji')
    const body = { ...greedy, model: 'emoji', prompt: emoji.input_ids, logprobs: 0, max_tokens: emoji.output_ids.length }
    const { text, logprobs } = (await client.completions.create(body)).choices[0]
    t.equal(text, emoji.text)
    const { tokens = [], text_offset = [] } = logprobs ?? {}
    t.ok(tokens.includes('\ufffd'), 'there are such')
    for (const [i, token] of tokens.entries())
      if (!token.includes('\ufffd') && !token.startsWith('<|'))
        t.ok(text.startsWith(token, text_offset[i]), JSON.stringify(token))
  })

  t.test('chat: tokens with bytes, and the likeliest beside each', async (t) => {
    const body = { ...greedy, messages: row.messages, logprobs: true, top_logprobs: 2 }
    const [choice] = (await client.chat.completions.create(body)).choices
    const content = choice.logprobs?.content ?? []
    t.equal(content.map((entry) => entry.token).join(''), choice.message.content)
    t.equal(Buffer.from(content.flatMap((entry) => entry.bytes ?? [])).toString(), choice.message.content)
    t.ok(content.every((entry) => entry.top_logprobs.length === 2 && entry.top_logprobs[0].token === entry.token))
    const [none] = (await client.chat.completions.create({ ...body, top_logprobs: undefined })).choices
    t.ok(none.logprobs?.content?.every((entry) => entry.top_logprobs.length === 0))
    const chunks = await chunksOf(await client.chat.completions.create({ ...body, stream: true }))
    t.same(
      chunks.flatMap((chunk) => chunk.choices[0].logprobs?.content ?? []),
      content,
    )
  })

  t.test("vLLM's prompt_logprobs", async (t) => {
    const answer = await served.post('/v1/completions', { ...greedy, prompt: row.input_ids, prompt_logprobs: 1 })
    const [{ prompt_logprobs }] = answer.body.choices
    t.equal(prompt_logprobs.length, row.input_ids.length)
    t.equal(prompt_logprobs[0], null)
    for (const [i, entry] of prompt_logprobs.entries()) {
      if (i === 0) continue
      const own = entry[row.input_ids[i]]
      t.match(own, { logprob: Number, rank: Number, decoded_token: String })
      t.equal(Object.keys(entry).length, own.rank === 1 ? 1 : 2)
    }
    const chat = await served.post('/v1/chat/completions', { ...greedy, messages: row.messages, prompt_logprobs: 1 })
    t.same(chat.body.prompt_logprobs, prompt_logprobs)
  })
})

t.test('an answer with many logprobs', async (t) => {
  const served = await startServed(t, {})
  const prompt = [1, ...Array.from({ length: 900 }, (_, i) => 10 + ((i * 37) % 1400))]
  const body = { prompt, prompt_logprobs: 20, echo: true, logprobs: 20, max_tokens: 100, temperature: 0, ignore_eos: true }
  const whole = await served.post('/v1/completions', body)
  const [choice] = whole.body.choices

  t.test('is complete, in order, and says the same in both of its shapes', async (t) => {
    t.equal(choice.prompt_logprobs.length, prompt.length)
    t.equal(choice.logprobs.tokens.length, prompt.length + 100)
    const { tokens, token_logprobs, top_logprobs, text_offset } = choice.logprobs
    t.same(
      choice.prompt_logprobs
        .slice(1)
        .map((entry: Record<string, { logprob: number }>, i: number) => entry[prompt[i + 1]].logprob),
      token_logprobs.slice(1, prompt.length),
    )
    t.equal(top_logprobs.length, tokens.length)
    t.ok(text_offset.every((offset: number, i: number) => i === 0 || offset >= text_offset[i - 1]))
    const scored = await served.post('/v1/completions', { ...body, echo: false, prompt: prompt.slice(0, 20), max_tokens: 1 })
    t.same(scored.body.choices[0].prompt_logprobs, choice.prompt_logprobs.slice(0, 20), 'as a short prompt has them')
  })

  t.test('is the same as a stream', async (t) => {
    const { text } = await request(`${served.url}/v1/completions`, { body: JSON.stringify({ ...body, stream: true }) })
    const events = text.split('\n\n').filter((event) => event.startsWith('data: {'))
    const chunks = events.map((event) => JSON.parse(event.slice('data: '.length)).choices[0])
    t.ok(events[0].length > 2 ** 20, 'the first event is large')
    t.same(chunks[0].prompt_logprobs, choice.prompt_logprobs)
    for (const name of ['tokens', 'token_logprobs', 'top_logprobs', 'text_offset'])
      t.same(
        chunks.flatMap((chunk) => chunk.logprobs?.[name] ?? []),
        choice.logprobs[name],
        name,
      )
    t.equal(chunks.map((chunk) => chunk.text).join(''), choice.text)
    t.ok(text.endsWith('data: [DONE]\n\n'))
  })

  t.test('may be read slowly, or left: it holds nothing then', async (t) => {
    const ask = (stream: boolean) => {
      const socket = connect({ port: Number(new URL(served.url).port), host: '127.0.0.1' })
      const text = JSON.stringify({ ...body, prompt: [prompt, prompt.slice(1)], n: 4, stream })
      socket.write(
        `POST /v1/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: ${text.length}\r\n\r\n${text}`,
      )
      return socket
    }
    for (const stream of [false, true]) {
      const left = ask(stream)
      await once(left, 'data')
      left.destroy()
    }
    for (const stream of [false, true]) {
      const slow = ask(stream)
      const parts = [(await once(slow, 'data'))[0] as Buffer]
      slow.pause()
      await setTimeout(500)
      slow.on('data', (bytes: Buffer) => parts.push(bytes))
      slow.resume()
      await once(slow, 'close')
      const size = parts.reduce((sum, { length }) => sum + length, 0)
      t.ok(size > 10 << 20, `${size} bytes`)
      t.equal(Buffer.concat(parts).subarray(-5).toString(), '0\r\n\r\n', `stream: ${stream}, to its end`)
    }
    t.same(await served.idleComplaints(), [])
  })
})

t.test('texts of tokens may be names that every object has', async (t) => {
  const texts = ['__proto__', 'constructor', '7', 'a']
  const tokenizer = { token: (id: number) => ({ text: texts[id], bytes: [] }) } as unknown as Tokenizer
  const of = {
    tokens: Int32Array.of(1),
    logprob: Float32Array.of(-1),
    rank: Int32Array.of(2),
    topStarts: Int32Array.of(0, 4),
    topTokens: Int32Array.of(0, 1, 2, 3),
    topLogprobs: Float32Array.of(-0.5, -1, -2, -4),
  }
  const offsets = { next: () => 0 } as unknown as TextOffsets
  const { top_logprobs } = completionLogprobs(tokenizer, [{ rows: { of, from: 0, to: 1 }, offsets }])
  t.equal(JSON.stringify(top_logprobs), '[{"7":-2,"__proto__":-0.5,"constructor":-1,"a":-4}]')
})
