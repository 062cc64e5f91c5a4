/** What of a chat request's messages reaches the template. Right: vLLM's chat_utils.py, and OpenAI's API where it says nothing. */
import t from 'tap'
import { keepText } from '../../../server/exact-json.ts'
import { conversationOf, messagesOf, textOf } from '../../../server/openai/messages.ts'
import { ModelChatTemplate } from '../../../server/tokenizer/chat-template.ts'
import type { Limits } from '../../../server/types.ts'

const of = (...messages: object[]) => messagesOf({ messages })

t.test("a call's arguments are an object", async (t) => {
  const history = (args: unknown) =>
    of({ role: 'assistant', tool_calls: [{ id: 'x', type: 'function', function: { name: 'f', arguments: args } }] })
  const read = (args: unknown) => (history(args)[0].tool_calls as { function: { arguments: unknown } }[])[0].function.arguments
  t.same(read('{"city": "Paris", "days": [1, 2]}'), { city: 'Paris', days: [1, 2] })
  for (const none of ['', '{}', '[1]', '"a"', 'null', '{"a":'] as const) t.same(read(none), {}, none)
  t.same(read({ city: 'Paris' }), { city: 'Paris' }, 'some clients send it so')
  t.match(history('{}')[0].tool_calls, [{ id: 'x', type: 'function', function: { name: 'f' } }])
  for (const calls of [null, []])
    t.same(of({ role: 'assistant', content: 'a', tool_calls: calls })[0], { role: 'assistant', content: 'a' }, 'no calls')
  t.same(read(null), {}, 'arguments that are null are none')
  for (const odd of [null, 1, {}, { function: null }, { function: 'f' }])
    t.same(of({ role: 'assistant', tool_calls: [odd] })[0].tool_calls, [odd], 'the template sees what is odd as it is')
})

t.test('no content is empty content; parts are texts', async (t) => {
  t.equal(of({ role: 'assistant', content: null, refusal: 'I cannot.' })[0].content, '')
  t.equal(of({ role: 'assistant', tool_calls: [] })[0].content, '')
  const parts = [
    { type: 'text', text: 'a' },
    { type: 'refusal', refusal: 'I cannot.' },
  ]
  const [message] = of({ role: 'assistant', content: parts })
  t.same(message.content, [
    { type: 'text', text: 'a' },
    { type: 'text', text: 'I cannot.' },
  ])
  t.equal(textOf(message), 'a\nI cannot.')
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

t.test('fields that are null are absent, and reasoning has both of its names', async (t) => {
  const dump = { role: 'assistant', content: 'a', refusal: null, audio: null, function_call: null, annotations: null, name: null }
  t.same(of(dump)[0], { role: 'assistant', content: 'a' })
  t.same(of({ role: 'user', content: 'a', mark: null })[0], { role: 'user', content: 'a', mark: null }, 'what nobody knows stays')
  for (const field of ['reasoning', 'reasoning_content'])
    t.match(of({ role: 'assistant', content: 'a', [field]: 'hm' })[0], { reasoning: 'hm', reasoning_content: 'hm' }, field)
  t.notOk('reasoning' in of({ role: 'assistant', content: 'a', reasoning: null })[0])
})

/** As the server reads a body and renders it. */
function rendered(template: string, json: string): string {
  const body = JSON.parse(json)
  keepText(json, body)
  const { messages, options } = conversationOf(body, { trustRequestChatTemplate: true } as Limits)
  return new ModelChatTemplate(template, {}).for(options).render(messages, options)
}

t.test(
  'templates that walk through parts get them, others get them joined, and those that know nothing else get lists',
  async (t) => {
    const json =
      '{"messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"input_text","text":"b"}]},{"role":"user","content":"c"}]}'
    const body = (walk: string) => `{% for m in messages %}[${walk}]{% endfor %}`
    const each = "{% for p in m['content'] %}<{{ p['text'] }}>{% endfor %}"
    t.equal(rendered(body('{{ m.content }}'), json), '[a\nb][c]')
    t.equal(rendered(body(`{% if m.content is string %}{{ m.content }}{% else %}${each}{% endif %}`), json), '[<a><b>][c]')
    t.equal(rendered(body(each), json), '[<a><b>][<c>]')
    const macro =
      '{% macro show(c) %}{% if c is string %}{{ c }}{% else %}{% for p in c %}<{{ p.text }}>{% endfor %}{% endif %}{% endmacro %}'
    t.equal(rendered(macro + body('{{ show(m.content) }}'), json), '[<a><b>][c]', 'through a macro')
    const calls =
      '{% for m in messages %}{% set calls = m.content %}{% if m.role == "tool_calls" %}{% for c in calls %}{{ c.id }}{% endfor %}{% endif %}[{{ m.content }}]{% endfor %}'
    t.equal(rendered(calls, json), '[a\nb][c]', 'a loop over something else of that name')
  },
)

t.test('numbers and keys reach the prompt as they were written', async (t) => {
  const json =
    '{"messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"properties":{"b":{"default":1.0,"enum":[1,1e3,12345678901234567890,-0.0]},"10":{},"9":{}}}}}],"chat_template_kwargs":{"half":0.5,"one":1.0},"documents":[{"id":2.0}]}'
  t.equal(
    rendered('{{ tools[0].function.parameters.properties | tojson }} {{ half }} {{ one }} {{ documents[0] }}', json),
    '{"b": {"default": 1.0, "enum": [1, 1000.0, 12345678901234567890, -0.0]}, "10": {}, "9": {}} 0.5 1.0 {\'id\': 2.0}',
  )
  t.equal(
    rendered(
      '{{ messages[0].tool_calls[0].function.arguments }}',
      '{"messages":[{"role":"assistant","tool_calls":[{"function":{"name":"f","arguments":"{\\"b\\": 1.0, \\"2\\": 1}"}}]}]}',
    ),
    "{'b': 1.0, '2': 1}",
  )
  t.equal(
    rendered(
      '{{ tools is none }} {{ documents is none }}',
      '{"messages":[{"role":"user","content":"x"}],"tools":[],"documents":null}',
    ),
    'True True',
  )
})

t.test('hints are variables', async (t) => {
  const said = '{{ tool_choice is defined }} {{ reasoning_effort }} {{ enable_thinking }}'
  const messages = '"messages":[{"role":"user","content":"x"}]'
  t.equal(rendered(said, `{${messages}}`), 'False  ')
  t.equal(rendered(said, `{${messages},"tool_choice":null,"reasoning_effort":null}`), 'False  ')
  const kwargs = '"chat_template_kwargs":{"enable_thinking":false}'
  t.equal(rendered(said, `{${messages},"tool_choice":"none","reasoning_effort":"low",${kwargs}}`), 'True low False')
  t.equal(
    rendered(said, `{${messages},"reasoning_effort":"low","chat_template_kwargs":{"reasoning_effort":"high"}}`),
    'False high ',
  )
})

t.test('a message that the template changes is not continued', async (t) => {
  const json = (content: string) =>
    JSON.stringify({ messages: [{ role: 'assistant', content }], continue_final_message: true, add_generation_prompt: false })
  const dropping = "{% for m in messages %}[{{ m.content.split('</think>')[-1] }}]{% endfor %}"
  t.equal(rendered(dropping, json('It is ')), '[It is ')
  t.throws(() => rendered(dropping, json('<think>a</think>It is')), { message: /does not show the last message as it is/ })
  t.equal(rendered('{% for m in messages %}[{{ m.content | trim }}]{% endfor %}', json('It is \n')), '[It is')
  t.throws(() => rendered('{{ messages | length }}', json('It is')), { message: /does not show the last message/ })
  const parts = JSON.stringify({
    messages: [
      {
        role: 'assistant',
        content: [
          { type: 'text', text: 'a' },
          { type: 'text', text: 'b ' },
        ],
      },
    ],
    continue_final_message: true,
    add_generation_prompt: false,
  })
  t.equal(rendered('{% for m in messages %}{% for p in m.content %}<{{ p.text }}>{% endfor %}{% endfor %}', parts), '<a><b ')
})
