/** Reasoning in each format: the same in every cut, begun by the prompt or the model, counted, and before calls. */
import t from 'tap'
import type { MessageFormats } from '../../../../server/openai/message/formats.ts'
import { type MessageRequest, messageReaderFor } from '../../../../server/openai/message/reader-for.ts'
import { cutsOf, idsOf, messageOf, readerOf } from '../../../support/messages.ts'

interface Case {
  formats: MessageFormats
  /** How the prompt ends. */
  prompt?: string
  request?: Partial<MessageRequest>
  text: string
  reasoning?: string
  content?: string
  calls?: string[]
  tokens?: number
}

const qwen3: MessageFormats = { reasoning: 'qwen3' }
const r1: MessageFormats = { reasoning: 'deepseek_r1' }
const granite: MessageFormats = { reasoning: 'granite' }
const asked = '<|im_start|>assistant\n'
const call = '<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call>'

const cases: Case[] = [
  { formats: qwen3, text: '<think>\nHm <b>.\n</think>\n\nYes.', reasoning: '\nHm <b>.\n', content: '\n\nYes.', tokens: 5 },
  { formats: qwen3, text: '\n<think>Hm', reasoning: 'Hm' },
  { formats: qwen3, prompt: asked, text: 'Yes </think>.', content: 'Yes </think>.' },
  {
    formats: qwen3,
    prompt: `${asked}<think>\n`,
    text: 'Hm\n</think>\n\nYes.',
    reasoning: 'Hm\n',
    content: '\n\nYes.',
    tokens: 2,
  },
  { formats: qwen3, prompt: `${asked}<think>\n`, text: '<think>Hm</think>Yes', reasoning: 'Hm', content: 'Yes' },
  { formats: qwen3, prompt: `${asked}<think>\n\n</think>\n\n`, text: 'Yes', content: 'Yes' },
  { formats: qwen3, prompt: `<think>a</think>b${asked}`, text: '<think>Hm</think>Yes', reasoning: 'Hm', content: 'Yes' },
  {
    formats: qwen3,
    prompt: `${asked}<think>so far`,
    request: { continues: true },
    text: ' on</think>Yes',
    reasoning: ' on',
    content: 'Yes',
  },
  { formats: qwen3, prompt: `${asked}<think>a</think>so far`, request: { continues: true }, text: ' on', content: ' on' },
  { formats: r1, text: 'Hm.</think>Yes.', reasoning: 'Hm.', content: 'Yes.', tokens: 1 },
  { formats: r1, text: '<think>Hm.</think>', reasoning: 'Hm.' },
  { formats: r1, prompt: '<｜Assistant｜></think>', text: 'Yes.', content: 'Yes.' },
  { formats: r1, text: '<think>a</think>b<think>c</think>', reasoning: 'a', content: 'b<think>c</think>' },
  {
    formats: granite,
    text: "Here is my thought process: Here is a thing. Here's my response: Yes.",
    reasoning: ' Here is a thing. ',
    content: ' Yes.',
  },
  { formats: granite, text: 'Here is my answer: yes', content: 'Here is my answer: yes' },
  { formats: { ...qwen3, tools: 'hermes' }, text: `<think>a ${call}</think>\n\n${call}`, reasoning: `a ${call}`, calls: ['now'] },
  {
    formats: { ...qwen3, tools: 'hermes' },
    text: `<think>\n</think>\n\nLet me.\n${call}`,
    reasoning: '\n',
    content: '\n\nLet me.',
    calls: ['now'],
  },
  {
    formats: { ...qwen3, tools: 'qwen3_coder' },
    prompt: `${asked}<think>\n`,
    text: 'Hm\n<tool_call>\n<function=now>\n</function>\n</tool_call>',
    reasoning: 'Hm\n',
    calls: ['now'],
  },
  {
    formats: { ...r1, tools: 'llama3_json' },
    text: 'Hm</think>\n{"name": "now", "parameters": {}}',
    reasoning: 'Hm',
    calls: ['now'],
  },
  {
    formats: { ...qwen3, tools: 'hermes' },
    request: { includeReasoning: false },
    text: `<think>Hm</think>${call}`,
    calls: ['now'],
    tokens: 1,
  },
  {
    formats: { reasoning: 'openai_gptoss' },
    text: '<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>final<|message|>Yes',
    reasoning: 'Hm',
    content: 'Yes',
    tokens: 1,
  },
  {
    formats: { tools: 'openai', reasoning: 'openai_gptoss' },
    text: '<|channel|>analysis<|message|>Hm<|end|><|start|>assistant<|channel|>commentary to=functions.now<|message|>{}',
    reasoning: 'Hm',
    calls: ['now'],
  },
]

t.test('the same in every cut', async (t) => {
  for (const { formats, prompt = '', request, text, reasoning = '', content = '', calls = [] } of cases)
    for (const whole of [false, true])
      for (const pieces of cutsOf(text)) {
        const read = messageOf(readerOf(formats, { promptIds: idsOf(prompt), whole, ...request }), pieces)
        const found = { reasoning: read.reasoning, content: read.content, calls: read.calls.map(({ name }) => name) }
        if (JSON.stringify(found) !== JSON.stringify({ reasoning, content, calls }))
          return t.same({ ...found, pieces }, { reasoning, content, calls, pieces }, `${prompt} | ${text}`)
      }
  t.pass()
})

/** What a tokenizer with marks of its own makes of a text. */
const tokensOf = (text: string) => text.match(/<\/?think>|<\|\w+\|>|\s*[^<\s]+|\s+|</g) ?? []

t.test('reasoning is counted in tokens, its marks are none', async (t) => {
  for (const { formats, prompt = '', request, text, tokens } of cases) {
    if (tokens === undefined) continue
    const reader = readerOf(formats, { promptIds: idsOf(prompt), ...request })
    for (const token of tokensOf(text)) reader.push(token, [token.charCodeAt(0)])
    reader.finish()
    t.equal(reader.reasoningTokens, tokens, text)
  }
})

t.test('where several tokens come at once, those before the mark count', async (t) => {
  const spellings = ['<think>', 'Hm', ' so', '</think>', 'Yes']
  const text = spellings.join('')
  const tokenizer = {
    longestToken: 8,
    decode: () => '',
    detokenizer: () => ({ push: () => '', flush: () => '' }),
    token: (id: number) => ({ text: spellings[id], bytes: [] }),
    tokenString: (id: number) => spellings[id],
  }
  const request = { includeReasoning: true, whole: false, promptIds: [], continues: false }
  for (const cut of [1, 2, 3, 4, 5]) {
    const reader = messageReaderFor({ formats: qwen3, tokenizer }, request)?.reader()
    reader?.push(
      spellings.slice(0, cut).join(''),
      spellings.slice(0, cut).map((_, i) => i),
    )
    reader?.push(
      spellings.slice(cut).join(''),
      spellings.slice(cut).map((_, i) => i + cut),
    )
    reader?.finish()
    t.equal(reader?.reasoningTokens, 2, `${text} cut behind ${cut}`)
  }
})
