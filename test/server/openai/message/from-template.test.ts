/** Which format a chat template shows. */
import t from 'tap'
import { formatsOf, toolFormatOf } from '../../../../server/openai/message/from-template.ts'

/** What tells them apart, as their authors' templates have it. */
const shown: [marks: string, format: string | undefined][] = [
  ['<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>', 'hermes'],
  ['<tool_call>\n<function=example_function_name>\n<parameter=example_parameter_1>', 'qwen3_coder'],
  ['{{ "[TOOL_CALLS] [" }}', 'mistral'],
  ['[TOOL_CALLS]{{ name }}[ARGS]{{ args }}', 'mistral'],
  ['<|start_of_role|>assistant<|end_of_role|><|tool_call|>', 'granite'],
  ["'<|tool|>' + message['tools'] + '<|/tool|>'", 'phi4_mini_json'],
  ['prefix function calls with functools marker', 'phi4_mini_json'],
  ['<|tool|>{}<|/tool|> respond in this format: <|tool_call|>{"name": "foo"}<|/tool_call|>', 'phi4_mini_json'],
  ['<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>', 'deepseek_v3'],
  ['Respond in the format {"name": function name, "parameters": dictionary of argument name and its value}.', 'llama3_json'],
  ['<|python_tag|>', 'llama3_json'],
  ['Respond in the format [func_name1(params_name1=params_value1)]', 'pythonic'],
  ['<|python_start|>', 'pythonic'],
  ['<|start|>assistant<|channel|>commentary to={{ name }}<|message|>', 'openai'],
  ["'<|tool_calls_section_begin|><|tool_call_begin|>' + formatted_id", 'kimi_k2'],
  ["{%- set toolcall_begin_token = '<minimax:tool_call>' -%}", 'minimax_m2'],
  ['<tool_call>{function-name}\n<arg_key>{arg-key-1}</arg_key>\n<arg_value>{arg-value-1}</arg_value>', 'glm45'],
  ["{%- set ns_token = ']<]minimax[>[' -%}{%- set toolcall_begin_token = ns_token ~ '<tool_call>' -%}", undefined],
  ["'<seed:tool_call>\n<function=' + func.name", 'qwen3_coder'],
  ['{{ tools | tojson }}', undefined],
]

t.test('a format is known by its marks, where a template shows tools', async (t) => {
  for (const [marks, format] of shown) {
    t.equal(toolFormatOf(`{% if tools %}${marks}{% endif %}`), format, marks)
    t.equal(toolFormatOf(marks.replaceAll('tools', '')), undefined, 'it shows none')
  }
  t.equal(toolFormatOf(undefined), undefined)
})

t.test('what is said goes before what is shown; harmony is both', async (t) => {
  const harmony = '{{ tools }}<|channel|><|message|>'
  t.same(formatsOf({}, harmony), { tools: 'openai', reasoning: 'openai_gptoss' })
  t.same(formatsOf({ tools: 'openai' }, undefined), { tools: 'openai', reasoning: 'openai_gptoss' })
  t.same(formatsOf({ tools: 'hermes' }, harmony), { tools: 'hermes' })
  t.same(formatsOf({ reasoning: 'qwen3' }, '{{ tools }}<tool_call>'), { tools: 'hermes', reasoning: 'qwen3' })
  t.same(formatsOf({}, '{{ messages }}'), {})
})
