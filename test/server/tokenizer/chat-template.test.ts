import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import t from 'tap'
import { TemplateError } from '../../../server/errors.ts'
import { ModelChatTemplate } from '../../../server/tokenizer/chat-template.ts'
import type { ChatMessage } from '../../../server/types.ts'
import { demoModel, fixture, readJson, temporaryFolder } from '../../support/repo.ts'

interface Case {
  template: string
  messages: ChatMessage[]
  options: {
    add_generation_prompt?: boolean
    continue_final_message?: boolean
    tools?: unknown[]
    kwargs?: Record<string, unknown>
  }
  text?: string
  error?: string
}

const { tokens, templates, cases } = readJson<{
  tokens: Record<string, string>
  templates: Record<string, string>
  cases: Case[]
}>(fixture('tokenizer', 'chat.json'))

function thrown(action: () => unknown): unknown {
  try {
    action()
  } catch (error) {
    return error
  }
}

const user = [{ role: 'user', content: 'hi' }]
const plain = { addGenerationPrompt: false }

for (const [name, source] of Object.entries(templates)) {
  t.test(`a template like ${name}'s renders as transformers renders it`, async (t) => {
    const template = new ModelChatTemplate(source, tokens)
    for (const { messages, options, text, error } of cases.filter((one) => one.template === name)) {
      const render = () =>
        template.render(messages, {
          addGenerationPrompt: options.add_generation_prompt ?? false,
          continueFinalMessage: options.continue_final_message ?? false,
          tools: options.tools,
          kwargs: options.kwargs,
        })
      if (text === undefined) t.match(thrown(render), { message: `the chat template failed: ${error}` })
      else t.equal(render(), text, JSON.stringify({ messages, options }))
    }
  })
}

t.test("the template's own complaint reaches the client", async (t) => {
  const template = new ModelChatTemplate(templates.alternating, tokens)
  const error = thrown(() => template.render([{ role: 'system', content: 'x' }], plain))
  t.ok(error instanceof TemplateError)
  t.match(error, { message: /System role not supported/ })
})

t.test('a message is cut at its own end when it is continued, also where its text comes again later', async (t) => {
  const template = new ModelChatTemplate('{% for m in messages %}{{ m.role }}:{{ m.content }}<end>{% endfor %}', {})
  const continued = template.render([...user, { role: 'assistant', content: 'e' }], { ...plain, continueFinalMessage: true })
  t.equal(continued, 'user:hi<end>assistant:e')
  t.throws(() => template.render([{ role: 'assistant', content: null }], { ...plain, continueFinalMessage: true }), {
    message: /continue_final_message needs/,
  })
  const silent = new ModelChatTemplate('nothing', {})
  t.throws(() => silent.render(user, { ...plain, continueFinalMessage: true }), { message: /does not show the last message/ })
})

t.test("a request's template is used instead of the model's, with a model that has none too", async (t) => {
  for (const own of ['own', undefined]) {
    const template = new ModelChatTemplate(own, tokens)
    t.equal(await template.renderGiven('{{ eos_token }}{{ messages[0].content }}', user, plain), '</s>hi')
    await t.rejects(template.renderGiven('{% if %}', user, plain), { message: /not valid/ })
  }
  t.throws(() => new ModelChatTemplate(undefined, {}).render(user, plain), { message: /has no chat template/ })
})

t.test("a request's template that never ends, or fills the memory, costs its own request alone", async (t) => {
  const template = new ModelChatTemplate(undefined, {})
  const endless = '{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}'
  const doubling =
    "{% set n = namespace(x='aaaaaaaaaaaaaaaa') %}{% for i in range(21) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}"
  const wrong = [
    template.renderGiven(endless, user, plain).catch((error) => error),
    template.renderGiven('{{ range(200000000)|length }}', user, plain).catch((error) => error),
    template.renderGiven(doubling, user, plain).catch((error) => error),
  ]
  t.equal(await template.renderGiven('{{ messages[0].content }} still', user, plain), 'hi still')
  const [slow, large, long] = await Promise.all(wrong)
  t.match(slow, { message: /took more than 1000 ms/ })
  t.match(large, { message: /took more than \d+ (ms|MB)/ })
  t.match(long, { message: /more than 16777216 characters/ })
  for (const error of [slow, large, long]) t.ok(error instanceof TemplateError)
})

t.test('where a template comes from: the flag, chat_template.jinja, tokenizer_config.json', async (t) => {
  const folder = temporaryFolder(t)
  const write = (name: string, content: unknown) =>
    writeFileSync(path.join(folder, name), typeof content === 'string' ? content : JSON.stringify(content))
  const rendered = (file?: string) => ModelChatTemplate.load(folder, file).render(user, plain)
  t.throws(() => rendered(), { message: /has no chat template/ })

  write('tokenizer_config.json', {
    chat_template: [
      { name: 'rag', template: 'rag' },
      { name: 'default', template: '{{ bos_token }}{{ eos_token }}named' },
    ],
    bos_token: { content: '<b>' },
  })
  write('special_tokens_map.json', { bos_token: 'not this', eos_token: '<e>' })
  t.equal(rendered(), '<b><e>named')
  write('chat_template.jinja', 'beside')
  t.equal(rendered(), 'beside')
  write('given.jinja', 'given')
  t.equal(rendered(path.join(folder, 'given.jinja')), 'given')

  t.throws(() => rendered(path.join(folder, 'missing.jinja')), { message: /missing\.jinja cannot be read/ })
  write('broken.jinja', '{% for %}')
  t.throws(() => rendered(path.join(folder, 'broken.jinja')), { message: /not valid/ })
  mkdirSync(path.join(folder, 'other'))
  writeFileSync(path.join(folder, 'other', 'tokenizer_config.json'), '{')
  t.throws(() => ModelChatTemplate.load(path.join(folder, 'other')), { message: /tokenizer_config\.json cannot be read/ })
})

t.test('the demo model', async (t) => {
  const template = ModelChatTemplate.load(demoModel('base'))
  t.equal(template.render(user, { addGenerationPrompt: true }), '<|bos|><|user|>\nhi<|end|>\n<|assistant|>\n')
})
