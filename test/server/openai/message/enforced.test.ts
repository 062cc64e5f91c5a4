/** What tool_choice makes of tools: the schema that an answer is held to, and how it is read. */
import t from 'tap'
import { constraintOf } from '../../../../server/openai/message/enforced.ts'
import type { MessageFormats } from '../../../../server/openai/message/formats.ts'
import { type MessageRequest, messageReaderFor } from '../../../../server/openai/message/reader-for.ts'
import type { ToolDefinition, ToolUse } from '../../../../server/openai/message/tool-use.ts'
import type { Constraint } from '../../../../server/structured/constraint.ts'
import { cutsOf, idsOf, messageOf, readerOf, TOOLS, units } from '../../../support/messages.ts'

const use = (choice: ToolUse['choice'], more: Partial<ToolUse> = {}): ToolUse => ({
  tools: TOOLS,
  choice,
  parallel: true,
  ...more,
})

t.test('a named tool: its parameters', async (t) => {
  t.same(constraintOf(use({ name: 'get_weather' })), { kind: 'json', schema: TOOLS[0].parameters })
  t.same(constraintOf(use({ name: 'now' })), { kind: 'json', schema: { type: 'object', properties: {} } })
  for (const choice of ['auto', 'none'] as const) t.equal(constraintOf(use(choice)), undefined)
})

t.test('required: a list of names and parameters, each definition under a name of its own', async (t) => {
  const node = { type: 'object', properties: { value: { type: 'number' }, next: { $ref: '#' } } }
  const tools: ToolDefinition[] = [
    {
      name: 'a',
      parameters: {
        type: 'object',
        properties: { x: { $ref: '#/$defs/T' } },
        $defs: { T: { anyOf: [{ type: 'string' }, { $ref: '#/$defs/U' }] }, U: { type: 'null' } },
      },
    },
    {
      name: 'b',
      parameters: { type: 'object', properties: { x: { $ref: '#/definitions/T' } }, definitions: { T: { type: 'integer' } } },
    },
    { name: 'c', parameters: node },
    { name: 'd' },
  ]
  const item = (name: string, parameters: object) => ({
    type: 'object',
    properties: { name: { type: 'string', enum: [name] }, parameters },
    required: ['name', 'parameters'],
  })
  const constraint = constraintOf({ tools, choice: 'required', parallel: true })
  t.same(constraint, {
    kind: 'json',
    schema: {
      type: 'array',
      minItems: 1,
      items: {
        type: 'object',
        anyOf: [
          item('a', { type: 'object', properties: { x: { $ref: '#/$defs/a.T' } } }),
          item('b', { type: 'object', properties: { x: { $ref: '#/$defs/b.T' } } }),
          item('c', { $ref: '#/$defs/c' }),
          item('d', { type: 'object', properties: {} }),
        ],
      },
      $defs: {
        'a.T': { anyOf: [{ type: 'string' }, { $ref: '#/$defs/a.U' }] },
        'a.U': { type: 'null' },
        'b.T': { type: 'integer' },
        c: { type: 'object', properties: { value: { type: 'number' }, next: { $ref: '#/$defs/c' } } },
      },
    },
  })
  t.match(constraintOf({ tools, choice: 'required', parallel: false }), { schema: { maxItems: 1 } })
  let deep: object = {}
  for (let i = 0; i < 10_000; i++) deep = { items: deep }
  t.throws(() => constraintOf({ tools: [{ name: 'a', parameters: deep }], choice: 'required', parallel: true }), {
    message: /tools\.0\.function\.parameters is nested deeper/,
  })
})

t.test('schemas that would keep others waiting are refused', async (t) => {
  const many = Array.from({ length: 500 }, (_, i) => ({
    name: `t${i}`,
    parameters: {
      type: 'object',
      properties: Object.fromEntries(Array.from({ length: 30 }, (_, j) => [`p${j}`, { type: 'string' }])),
    },
  }))
  const from = performance.now()
  t.ok(constraintOf({ tools: many, choice: 'required', parallel: true }))
  t.ok(performance.now() - from < 500)
  const more = Array.from({ length: 4 }, (_, i) => many.map((tool) => ({ ...tool, name: `${tool.name}-${i}` }))).flat()
  t.throws(() => constraintOf({ tools: more, choice: 'required', parallel: true }), { message: /more than 50000 values/ })
})

t.test('the text is read as calls in every cut, whatever the formats of the model are', async (t) => {
  const list = '[{"name": "get_weather", "parameters": {"city": "a\\"]}"}}, {"name":"now","parameters":{}}]'
  const args = ' {"city": "Paris"}'
  for (const formats of [{}, { tools: 'mistral', reasoning: 'granite' }] as const)
    for (const whole of [false, true]) {
      for (const pieces of cutsOf(list)) {
        const { calls, content, reasoning } = messageOf(readerOf(formats, { use: use('required'), whole }), pieces)
        const found = [content, reasoning, ...calls.map((call) => [call.name, call.arguments])]
        const wanted = ['', '', ['get_weather', '{"city": "a\\"]}"}'], ['now', '{}']]
        if (JSON.stringify(found) !== JSON.stringify(wanted)) return t.same({ found, pieces }, wanted)
      }
      for (const pieces of cutsOf(args)) {
        const { calls } = messageOf(readerOf(formats, { use: use({ name: 'get_weather' }), whole }), pieces)
        const [{ name, arguments: text }] = calls
        if (calls.length !== 1 || name !== 'get_weather' || text !== '{"city": "Paris"}') return t.same(calls, pieces)
      }
    }
  t.pass()
})

const request = { includeReasoning: true, whole: false, promptIds: [] as number[], continues: false }
const reading = (formats: MessageFormats, more: Partial<MessageRequest>) =>
  messageReaderFor({ formats, tokenizer: units }, { ...request, ...more })

t.test('what else is enforced leaves no calls to be read, and errors name the field', async (t) => {
  const json = { kind: 'json', schema: true } as const
  const formats = { tools: 'llama3_json' } as const
  t.equal(reading(formats, { use: use('auto'), structured: json }), undefined)
  t.match(reading(formats, { use: use('required'), structured: json }), { structuredField: 'tools' })
  t.match(reading(formats, { use: use({ name: 'now' }) }), {
    structured: { kind: 'json' },
    structuredField: 'tools.1.function.parameters',
    calledFinish: 'stop',
  })
  const tag = { kind: 'structural_tag', tag: { a: 1 } } as const
  t.equal(reading({ ...formats, reasoning: 'qwen3' }, { structured: tag }), undefined, 'tags hold the whole text')
  t.same(
    reading({ ...formats, reasoning: 'qwen3' }, { use: use('auto'), structured: tag })?.structured,
    tag,
    'and may hold calls',
  )
})

t.test('a grammar begins where the thought ends, if there may be one', async (t) => {
  const json = { kind: 'json', schema: true } as const
  const answer = { type: 'json_schema', json_schema: { type: 'object' } }
  const lines = { type: 'grammar', grammar: 'root ::= [\\n]{0,2}' }
  const thought = (begin: string, end = '</think>') => ({ type: 'tag', begin, content: { type: 'any_text' }, end })
  const after = (begin: string, end?: string) => ({ type: 'sequence', elements: [thought(begin, end), lines, answer] })
  const maybe = (begin: string, end?: string) => ({ type: 'or', elements: [after(begin, end), answer] })
  const cases: [formats: MessageFormats, prompt: string, format: object | undefined][] = [
    [{ reasoning: 'qwen3' }, 'assistant\n', maybe('<think>')],
    [{ reasoning: 'qwen3' }, 'assistant\n<think>\n', after('')],
    [{ reasoning: 'qwen3' }, 'assistant\n<think>\n\n</think>\n\n', undefined],
    [{ reasoning: 'deepseek_r1' }, 'assistant\n', after('')],
    [{ reasoning: 'granite' }, '', maybe('Here is my thought process:', 'Here is my response:')],
    [{ reasoning: 'openai_gptoss' }, '', undefined],
  ]
  for (const [formats, prompt, format] of cases) {
    const found = reading(formats, { structured: json, promptIds: idsOf(prompt) })
    t.same(found?.structured, format && { kind: 'structural_tag', tag: { type: 'structural_tag', format } }, prompt)
    const named = reading(formats, { use: use({ name: 'now' }), promptIds: idsOf(prompt) })
    t.equal(named?.structured?.kind, format ? 'structural_tag' : 'json')
  }
  const [begun] = [idsOf('<think>\n')]
  const wrapped = (structured: Constraint) => reading({ reasoning: 'qwen3' }, { structured, promptIds: begun })?.structured
  const elements = (format: object) => ({ tag: { format: { elements: [thought(''), format] } } })
  t.match(wrapped({ kind: 'regex', pattern: 'a+' }), elements({ type: 'regex', pattern: 'a+' }))
  t.match(wrapped({ kind: 'grammar', ebnf: 'root ::= "a"' }), elements({ type: 'grammar', grammar: 'root ::= "a"' }))
  t.match(wrapped({ kind: 'choice', choices: ['a'] }), elements({ type: 'const_string', value: 'a' }))
  const both = ['a', 'b'].map((value) => ({ type: 'const_string', value }))
  t.match(wrapped({ kind: 'choice', choices: ['a', 'b'] }), elements({ type: 'or', elements: both }))
})

t.test('what is enforced is read behind the thought', async (t) => {
  const list = 'Hm.</think>\n\n[{"name": "now", "parameters": {}}]'
  for (const pieces of cutsOf(list)) {
    const reader = readerOf({ reasoning: 'qwen3' }, { use: use('required'), promptIds: idsOf('<think>\n'), whole: true })
    const { reasoning, content, calls } = messageOf(reader, pieces)
    if (reasoning !== 'Hm.' || content !== '' || calls[0]?.name !== 'now') return t.same({ reasoning, content, calls }, pieces)
  }
  const json = { kind: 'json', schema: true } as const
  const reader = readerOf({ reasoning: 'qwen3' }, { structured: json })
  t.match(messageOf(reader, ['<think>Hm.</think>{"a": 1}']), { reasoning: 'Hm.', content: '{"a": 1}' })
  t.match(messageOf(readerOf({ reasoning: 'qwen3' }, { structured: json }), ['{"a": 1}']), { reasoning: '', content: '{"a": 1}' })
})
