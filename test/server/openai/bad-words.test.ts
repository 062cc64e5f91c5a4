/** `bad_words` forbid as vLLM has it: compared with bans that the test works out step by step. */
import t from 'tap'
import { demoModel } from '../../support/repo.ts'
import { type Served, startServed } from '../../support/served.ts'

type Ids = number[]

/** Each word at the beginning of a text and behind a space, by the server's own /tokenize. */
async function sequencesOf({ post }: Served, words: string[]): Promise<Ids[]> {
  const encode = async (prompt: string) => {
    const { body } = await post('/tokenize', { prompt, add_special_tokens: false })
    return body.tokens as Ids
  }
  const all: Ids[] = []
  for (const word of words) {
    const plain = await encode(word.trimStart())
    all.push(plain)
    all.push(await encode(` ${word.trimStart()}`))
  }
  return all
}

/** What may not follow `output`. */
const forbidden = (sequences: Ids[], output: Ids) =>
  sequences
    .filter((one) => one.slice(0, -1).every((id, i) => output[output.length - one.length + 1 + i] === id))
    .map((one) => one.at(-1) as number)

t.test('bad_words', async (t) => {
  const served = await startServed(t, { adapters: demoModel('adapters') })
  const { post } = served
  const prompt = 'Once there was a'
  const complete = async (extra: object) => {
    const { status, body } = await post('/v1/completions', { prompt, max_tokens: 24, return_token_ids: true, ...extra })
    if (status !== 200) throw new Error(JSON.stringify(body))
    return body.choices as { text: string; token_ids: Ids; finish_reason: string }[]
  }

  for (const model of ['demo', 'pirate'])
    t.test(`${model}: a greedy answer is the one that bans worked out step by step leave`, async (t) => {
      const [plain] = await complete({ model, temperature: 0 })
      const written = plain.text.split(/\s+/).filter((word) => word.length > 2)
      // Words, a pair of words, and the middle of one: spans of one token and of several.
      const bad_words = [written[1], `${written[3]} ${written[4]}`, written[5].slice(0, 3), ' no space before it']
      const sequences = await sequencesOf(served, bad_words)
      t.ok(sequences.some((one) => one.length > 1) && sequences.some((one) => one.length === 1), 'of one token and of several')
      const output: Ids = []
      let acted = 0
      while (output.length < 24) {
        const bans = forbidden(sequences, output)
        const ids = (await post('/tokenize', { prompt })).body.tokens as Ids
        const body = { model, prompt: [...ids, ...output], max_tokens: 1, temperature: 0 }
        const [free] = await complete(body)
        const [held] = await complete({ ...body, logit_bias: Object.fromEntries(bans.map((id) => [id, -100])) })
        if (free.token_ids[0] !== held.token_ids[0]) acted++
        output.push(...held.token_ids)
        if (held.finish_reason === 'stop') break
      }
      t.ok(acted > 0, 'bans acted')
      const [answer] = await complete({ model, temperature: 0, bad_words })
      t.same(answer.token_ids, output)
      t.not(answer.text, plain.text)
    })

  const { tokenizer, vocabSize } = served.serving
  const spellings = Array.from({ length: vocabSize }, (_, id) => tokenizer.decode([id], { skipSpecialTokens: false }))

  t.test(
    'a seeded answer is the one without them up to the first word, and then the one in which that token is banned',
    async (t) => {
      for (let seed = 0; seed < 6; seed++) {
        const ask = { model: 'demo', temperature: 1.2, seed }
        const [free] = await complete(ask)
        const at = free.token_ids.findIndex(
          (id, i) => i >= 6 && !free.token_ids.slice(0, i).includes(id) && /^ [a-z]+$/.test(spellings[id]),
        )
        if (at < 0) continue
        const word = spellings[free.token_ids[at]].trim()
        const [held] = await complete({ ...ask, bad_words: [word] })
        const sequences = await sequencesOf(served, [word])
        const first = free.token_ids.findIndex((id, i) => forbidden(sequences, free.token_ids.slice(0, i)).includes(id))
        if (first < 0) continue
        t.same(held.token_ids.slice(0, first), free.token_ids.slice(0, first), `seed ${seed}: as far as ${word}`)
        const bans = forbidden(sequences, free.token_ids.slice(0, first))
        if (!bans.some((id) => free.token_ids.slice(0, first).includes(id))) {
          const [banned] = await complete({ ...ask, logit_bias: Object.fromEntries(bans.map((id) => [id, -100])) })
          t.equal(held.token_ids[first], banned.token_ids[first], `seed ${seed}: in place of ${word}`)
        }
        const completed = held.token_ids.filter((id, i) => forbidden(sequences, held.token_ids.slice(0, i)).includes(id))
        t.same(completed, [], `seed ${seed}: ${word} is not there`)
      }
    },
  )

  t.test('n choices, streamed or not, alone or among others, are the same answers', async (t) => {
    const bad_words = ['the', 'a little', 'was']
    const body = { model: 'pirate', prompt, temperature: 1, seed: 3, n: 3, max_tokens: 20, bad_words }
    const alone = (await complete(body)).map(({ text }) => text)
    const others = Promise.all([0, 1, 2].map((seed) => complete({ seed, max_tokens: 20 })))
    t.same(
      (await complete(body)).map(({ text }) => text),
      alone,
    )
    await others
    const response = await fetch(`${served.url}/v1/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ ...body, stream: true }),
    })
    const texts = ['', '', '']
    for (const line of (await response.text()).split('\n'))
      if (line.startsWith('data: {')) for (const { index, text } of JSON.parse(line.slice(6)).choices) texts[index] += text
    t.same(texts, alone)
  })

  t.test('a format and min_tokens hold beside them', async (t) => {
    const chat = { messages: [{ role: 'user', content: 'Yes or no?' }], max_tokens: 12, temperature: 1 }
    const structured_outputs = { choice: ['yes', 'no'] }
    for (let seed = 0; seed < 4; seed++) {
      const { body } = await post('/v1/chat/completions', { ...chat, seed, structured_outputs, bad_words: ['yes', 'ye', 'y'] })
      t.equal(body.choices[0].message.content, 'no')
    }
    const none = { ...chat, structured_outputs: { choice: ['yes'] }, bad_words: ['yes', 'ye', 'y'] }
    t.match(await post('/v1/chat/completions', none), {
      status: 400,
      body: { error: { param: 'structured_outputs.choice', message: /bad_words/ } },
    })
    const [token] = (await post('/tokenize', { prompt: ' was', add_special_tokens: false })).body.tokens
    const only = { prompt, allowed_token_ids: [token], bad_words: ['was'], max_tokens: 2 }
    t.match(await post('/v1/completions', only), {
      status: 400,
      body: { error: { message: /^no token is left that may be sampled/ } },
    })
    const [long] = await complete({ min_tokens: 20, bad_words: ['.', 'the'], temperature: 0 })
    t.ok(long.token_ids.length >= 20 && !long.text.includes('.'))
  })

  t.test('what is no list of words is refused, and the word is named', async (t) => {
    const refused = async (bad_words: unknown, param: RegExp, message: RegExp) =>
      t.match(await post('/v1/completions', { prompt, max_tokens: 1, bad_words }), {
        status: 400,
        body: { error: { param, message } },
      })
    await refused('the', /^bad_words/, /bad_words/)
    await refused([''], /^bad_words\.0$/, /bad_words\.0/)
    await refused(['a', '  '], /^bad_words\.1$/, /nothing but space/)
    await refused(['a', 7], /^bad_words/, /bad_words\.1/)
    await refused(['x'.repeat(257)], /^bad_words/, /256/)
    await refused(Array(1025).fill('a'), /^bad_words/, /1024/)
    const most = {
      prompt,
      max_tokens: 2,
      n: 128,
      bad_words: Array.from({ length: 1024 }, (_, i) => `${i} ${'word '.repeat(11)}`),
    }
    await refused(Array(1024).fill('x'.repeat(65)), /^bad_words$/, /at most 65536 together/)
    t.match(await post('/v1/completions', most), { status: 400, body: { error: { message: /too much for one request/ } } })
    t.equal((await post('/v1/completions', { ...most, n: 1 })).status, 200)
    t.equal(
      (await post('/v1/chat/completions', { messages: [{ role: 'user', content: 'a' }], max_tokens: 1, bad_words: null })).status,
      200,
    )
    t.same(await served.idleComplaints(), [])
  })
})
