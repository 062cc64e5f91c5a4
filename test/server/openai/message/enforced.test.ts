/** What tool_choice makes of tools: the schema that an answer is held to, and how it is read. */
import t from 'tap'
import { constraintOf } from '../../../../server/openai/message/enforced.ts'
import { messageReaderFor } from '../../../../server/openai/message/reader-for.ts'
import type { ToolDefinition, ToolUse } from '../../../../server/openai/message/tool-use.ts'
import { cutsOf, messageOf, readerOf, TOOLS, units } from '../../../support/messages.ts'

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
  for (const formats of [{}, { tools: 'mistral', reasoning: 'deepseek_r1' }] as const)
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

t.test('what else is enforced leaves nothing to be read, and errors name the field', async (t) => {
  const request = { includeReasoning: true, whole: false, promptIds: [], continues: false }
  const model = { formats: { tools: 'llama3_json', reasoning: 'qwen3' } as const, tokenizer: units }
  const json = { kind: 'json', schema: true } as const
  t.equal(messageReaderFor(model, { ...request, use: use('auto'), structured: json }), undefined)
  t.ok(messageReaderFor(model, { ...request, structured: { kind: 'structural_tag', tag: {} } }))
  t.match(messageReaderFor(model, { ...request, use: use('required'), structured: json }), { structuredField: 'tools' })
  t.match(messageReaderFor(model, { ...request, use: use({ name: 'now' }) }), {
    structuredField: 'tools.1.function.parameters',
    calledFinish: 'stop',
  })
})
