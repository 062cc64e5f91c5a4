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

t.test('where a template comes from: the flag, chat_template.jinja, tokenizer_config.json', async (t) => {
  const folder = temporaryFolder(t)
  const write = (name: string, content: unknown) =>
    writeFileSync(path.join(folder, name), typeof content === 'string' ? content : JSON.stringify(content))
  const rendered = (file?: string) => ModelChatTemplate.load(folder, file).render(user, plain)
  t.throws(() => rendered(), { message: /has no chat template/ })

  write('tokenizer_config.json', {
    chat_template: [
      { name: 'rag', template: 'rag' },
      { name: 'default', template: '{{ bos_token }}{{ eos_token }}{{ image_token }}{{ audio_token }}{{ add_bos_token }}named' },
    ],
    bos_token: { content: '<b>' },
    image_token: '<i>',
    add_bos_token: true,
    extra_special_tokens: { audio_token: '<a>' },
  })
  write('special_tokens_map.json', { bos_token: 'not this', eos_token: '<e>' })
  t.equal(rendered(), '<b><e><i><a>named')
  write('chat_template.jinja', 'beside')
  t.equal(rendered(), 'beside')
  write('given.jinja', 'given')
  t.equal(rendered(path.join(folder, 'given.jinja')), 'given')

  const withTools = { ...plain, tools: [{ type: 'function' }] }
  const further = path.join(folder, 'additional_chat_templates')
  mkdirSync(further)
  writeFileSync(path.join(further, 'tool_use.jinja'), 'with {{ tools | length }}')
  writeFileSync(path.join(further, 'rag.jinja'), 'rag')
  const all = ModelChatTemplate.load(folder)
  t.equal(all.for(withTools).render(user, withTools), 'with 1', 'the one for tools, where there are some')
  t.equal(all.for(plain).render(user, plain), 'beside')
  t.equal(all.named('rag')?.render(user, plain), 'rag')
  t.equal(all.named('missing'), undefined)
  const given = ModelChatTemplate.load(folder, path.join(folder, 'given.jinja'))
  t.equal(given.for(withTools).render(user, withTools), 'given', 'a file that is given is the only one')

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
