/** Where an answer's text begins, with tokenizers that write a space before every text. */
import t from 'tap'
import { fakeServing } from '../../support/fake-serving.ts'
import { request } from '../../support/http.ts'
import { tokenizerOf } from '../tokenizer/vectors.ts'

const tokenizer = tokenizerOf('llama2')
const written = tokenizer.encode('b c', { addSpecialTokens: false })

t.test('SentencePiece', async (t) => {
  t.equal(tokenizer.decode(written, { skipSpecialTokens: true }), 'b c', 'its first space is none when the text is alone')
  const answer = (one: { send(output: object): void }) =>
    setImmediate(() => one.send({ tokens: written, cachedTokens: 0, finish: 'length' }))
  const { url } = await fakeServing(t, answer, { tokenizer })
  const ask = async (route: string, body: object) =>
    (await request(`${url}/v1/${route}`, { body: JSON.stringify({ max_tokens: 9, ...body }) })).json.choices[0]
  const user = { role: 'user', content: 'a' }

  t.equal((await ask('completions', { prompt: 'a' })).text, ' b c', 'a completion goes on with the prompt')
  t.equal((await ask('completions', { prompt: 'a', echo: true })).text, 'a b c')
  const alone = await ask('completions', { prompt: [1] })
  t.equal(alone.text, 'b c', 'a prompt of special tokens alone has no text to go on with')
  t.equal((await ask('chat/completions', { messages: [user] })).message.content, 'b c', 'an answer is a text of its own')
  const started = [user, { role: 'assistant', content: 'a' }]
  const continued = await ask('chat/completions', { messages: started, continue_final_message: true })
  t.equal(continued.message.content, ' b c', 'unless it goes on with one')
})
