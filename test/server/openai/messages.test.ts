/** What of a chat request's messages reaches the template. Right: vLLM's chat_utils.py, and OpenAI's API where it says nothing. */
import t from 'tap'
import { messagesOf } from '../../../server/openai/messages.ts'
import { ModelChatTemplate } from '../../../server/tokenizer/chat-template.ts'

const of = (...messages: object[]) => messagesOf({ messages })

t.test("a call's arguments are an object", async (t) => {
  const history = (args: unknown) =>
    of({ role: 'assistant', tool_calls: [{ id: 'x', type: 'function', function: { name: 'f', arguments: args } }] })
  const read = (args: unknown) => (history(args)[0].tool_calls as { function: { arguments: unknown } }[])[0].function.arguments
  t.same(read('{"city": "Paris", "days": [1, 2]}'), { city: 'Paris', days: [1, 2] })
  for (const none of ['', '{}', '[1]', '"a"', 'null', '{"a":'] as const) t.same(read(none), {}, none)
  t.same(read({ city: 'Paris' }), { city: 'Paris' }, 'some clients send it so')
  t.match(history('{}')[0].tool_calls, [{ id: 'x', type: 'function', function: { name: 'f' } }])
  t.same(of({ role: 'assistant', content: 'a', tool_calls: null })[0], { role: 'assistant', content: 'a', tool_calls: null })
  for (const odd of [null, 1, {}, { function: null }, { function: 'f' }])
    t.same(of({ role: 'assistant', tool_calls: [odd] })[0].tool_calls, [odd], 'the template sees what is odd as it is')
})

t.test('no content is empty content; parts are joined', async (t) => {
  t.equal(of({ role: 'assistant', content: null, refusal: 'I cannot.' })[0].content, '')
  t.equal(of({ role: 'assistant', tool_calls: [] })[0].content, '')
  const parts = [
    { type: 'text', text: 'a' },
    { type: 'refusal', refusal: 'I cannot.' },
  ]
  t.equal(of({ role: 'assistant', content: parts })[0].content, 'a\nI cannot.')
  t.throws(() => of({ role: 'assistant', content: [{ type: 'refusal', text: 'a' }] }), {
    message: /messages.0.content.0.refusal/,
  })
  t.throws(() => of({ role: 'user', content: [{ type: 'text' }] }), { message: /messages.0.content.0.text/ })
  t.throws(() => of({ role: 'user' }), { message: /messages.0.content/ })
})

t.test('developer is system to templates that do not know it', async (t) => {
  const said = (source: string) =>
    new ModelChatTemplate(source, {}).render(of({ role: 'developer', content: 'Be brief.' }, { role: 'user', content: 'Hi' }), {
      addGenerationPrompt: false,
      continueFinalMessage: false,
    })
  const roles = '{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}'
  t.equal(said(roles), '[system]Be brief.[user]Hi')
  t.equal(said(`{# developer #}${roles}`), '[developer]Be brief.[user]Hi')
})
