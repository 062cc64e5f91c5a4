/** What is no call, though it looks like one, stays text in each format, to the last character. */
import t from 'tap'
import { TOOL_FORMATS, type ToolFormat } from '../../../../server/openai/message/formats.ts'
import { cutsOf, messageOf, readerOf } from '../../../support/messages.ts'

const json = JSON.stringify

/** Texts that hold no call, though they look like it. */
const none: Record<ToolFormat, string[]> = {
  hermes: [
    '<tool_call>',
    '<tool_call>{}</tool_call>',
    '<tool_call>{"name": 1}',
    '<tool_call>get_weather</tool_call>',
    'a < b <tool',
    '<tool_call>[]',
    '<tool_call>{"nam',
  ],
  llama3_json: [
    '{"name": "Bob", "age": 3}',
    '{}',
    '{"a": 1',
    'say {"name": "later", "parameters": {}}',
    'f() { return {"name": "now"} }',
    '{"parameters": {}}',
    '{"name": "now"}',
    '{"name": "now"; "parameters": {}}',
    '<|python_tag|>print(1)',
  ],
  granite: ['[1, 2]', '[]', '<|tool_call|>{}', '[{"name": "x"}]', '<tool_call>', '[a](b)'],
  phi4_mini_json: ['functools', 'functools are fun', 'functools[]', 'functools[1]'],
  mistral: ['[TOOL_CALLS]', '[TOOL_CALLS][]', '[TOOL_CALLS]hello world', '[TOOL_', '[TOOL_CALLS][ARGS]{}'],
  deepseek_v3: [
    '<｜tool▁calls▁begin｜>',
    '<｜tool▁calls▁begin｜>{}',
    '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>x\nno',
  ],
  pythonic: ['[see (1)]', '[1, 2]', '[link](http://x)', '[', '[now(', '[a(b', '[a-b(c)]', 'now()'],
  qwen3_coder: ['<tool_call>', '<tool_call>\n{}', '<function=', '<function=a\n>', '<tool_call>\n<function>'],
  glm45: [
    '<tool_call>',
    '<tool_call>{"name": "now", "arguments": {}}</tool_call>',
    '<tool_call>get weather</tool_call>',
    '<tool_call>get_weather\n<arg_ke',
    '<arg_key>a</arg_key>',
  ],
  kimi_k2: [
    '<|tool_calls_section_begin|><|tool_calls_section_end|>',
    '<|tool_calls_section_begin|> noise <|tool_call_begin|>',
    '<|tool_calls_section_begin|><|tool_call_begin|>functions.now.0<|tool_call_argument_begin|>{}',
    '<|tool_calls_section_begin|><|tool_call_begin|>0<|tool_call_argument_begin|>{}',
    '<|tool_calls_section_begin|><|tool_call_begin|>functions.now:0<|tool_call_argument_begin|>[]',
  ],
  minimax_m2: [
    '<minimax:tool_call>',
    '<minimax:tool_call><invoke',
    '<invoke name="now"></invoke>',
    '<minimax:tool_call><invoke name=>',
  ],
  openai: ['plain text', '<|channel', 'a <| b'],
}

for (const format of TOOL_FORMATS)
  t.test(`${format}: what is no call stays text`, async (t) => {
    for (const text of none[format])
      for (const whole of [false, true])
        for (const pieces of cutsOf(text)) {
          const read = messageOf(readerOf({ tools: format }, { whole }), pieces)
          if (json(read) !== json({ reasoning: '', content: text, calls: [] }))
            return t.same({ ...read, pieces }, { reasoning: '', content: text, calls: [], pieces })
        }
    t.pass()
  })

t.test('what is no JSON is text in a whole answer', async (t) => {
  for (const [format, text] of [
    ['llama3_json', '{"name": "now", "parameters": {invalid json}'],
    ['hermes', '<tool_call>{"name": "now", "arguments": {"a" 1}}</tool_call>'],
    [
      'kimi_k2',
      '<|tool_calls_section_begin|><|tool_call_begin|>functions.now:0<|tool_call_argument_begin|>{"a": }<|tool_call_end|>',
    ],
    ['pythonic', '[now(a=b)]'],
  ] as const)
    for (const pieces of cutsOf(text)) {
      const read = messageOf(readerOf({ tools: format }, { whole: true }), pieces)
      if (json(read) !== json({ reasoning: '', content: text, calls: [] })) return t.same({ ...read, pieces }, text)
    }
  t.pass()
})
