/** Round trips: a chat template writes an assistant's calls as models learn to write them, and the parser of the format that the template shows reads the same calls. */
import t from 'tap'
import type { ToolFormat } from '../../../../server/openai/message/formats.ts'
import { formatsOf } from '../../../../server/openai/message/from-template.ts'
import { ModelChatTemplate } from '../../../../server/tokenizer/chat-template.ts'
import { cutsOf, messageOf, readerOf, TOOLS } from '../../../support/messages.ts'

const each = (text: string, between = '') =>
  `{%- for call in m.tool_calls %}{%- set f = call.function %}${text}{%- if not loop.last %}{{ '${between}' }}{%- endif %}{%- endfor %}`

/** What each writes of an assistant's message behind its content. */
const written: Record<ToolFormat, string> = {
  hermes: each(`{{ '\\n<tool_call>\\n{"name": "' + f.name + '", "arguments": ' + (f.arguments | tojson) + '}\\n</tool_call>' }}`),
  qwen3_coder: each(
    `{{ '\\n<tool_call>\\n<function=' + f.name + '>\\n' }}{%- for key, value in f.arguments.items() %}{{ '<parameter=' + key + '>\\n' + (value if value is string else value | tojson) + '\\n</parameter>\\n' }}{%- endfor %}{{ '</function>\\n</tool_call>' }}`,
  ),
  llama3_json: each(`{{ '{"name": "' + f.name + '", "parameters": ' + (f.arguments | tojson) + '}' }}`, '; '),
  pythonic: `{{ '[' }}${each(
    `{{ f.name + '(' }}{%- for key, value in f.arguments.items() %}{{ key + '=' + (value | tojson) }}{%- if not loop.last %}{{ ', ' }}{%- endif %}{%- endfor %}{{ ')' }}`,
    ', ',
  )}{{ ']' }}`,
  mistral: `{{ '[TOOL_CALLS] [' }}${each(`{{ (f | tojson)[:-1] + ', "id": "abcdefghi"}' }}`, ', ')}{{ ']' }}`,
  granite: `{{ '<|tool_call|>[' }}${each('{{ f | tojson }}', ', ')}{{ ']' }}`,
  phi4_mini_json: `{{ 'functools[' }}${each('{{ f | tojson }}', ', ')}{{ ']' }}`,
  deepseek_v3: `{{ '<｜tool▁calls▁begin｜>' }}${each(
    `{{ '<｜tool▁call▁begin｜>function<｜tool▁sep｜>' + f.name + '\\n\`\`\`json\\n' + (f.arguments | tojson) + '\\n\`\`\`<｜tool▁call▁end｜>' }}`,
    '\\n',
  )}{{ '<｜tool▁calls▁end｜>' }}`,
  glm45: each(
    `{{ '\\n<tool_call>' + f.name + '\\n' }}{%- for key, value in f.arguments.items() %}{{ '<arg_key>' + key + '</arg_key>\\n<arg_value>' + (value if value is string else value | tojson) + '</arg_value>\\n' }}{%- endfor %}{{ '</tool_call>' }}`,
  ),
  kimi_k2: `{{ '<|tool_calls_section_begin|>' }}${each(
    `{{ '<|tool_call_begin|>functions.' + f.name + ':' + loop.index0 | string + '<|tool_call_argument_begin|>' + (f.arguments | tojson) + '<|tool_call_end|>' }}`,
  )}{{ '<|tool_calls_section_end|>' }}`,
  minimax_m2: `{{ '\\n<minimax:tool_call>\\n' }}${each(
    `{{ '<invoke name="' + f.name + '">' }}{%- for key, value in f.arguments.items() %}{{ '\\n<parameter name="' + key + '">' + (value if value is string else value | tojson) + '</parameter>' }}{%- endfor %}{{ '\\n</invoke>\\n' }}`,
  )}{{ '</minimax:tool_call>' }}`,
  openai: each(
    `{{ '<|start|>assistant<|channel|>commentary to=functions.' + f.name + ' <|constrain|>json<|message|>' + (f.arguments | tojson) + '<|call|>' }}`,
  ),
}

/** Those that set calls behind text; the others' answers are calls or text. */
const withText: ToolFormat[] = [
  'hermes',
  'qwen3_coder',
  'mistral',
  'granite',
  'phi4_mini_json',
  'deepseek_v3',
  'glm45',
  'kimi_k2',
  'minimax_m2',
]

const args = [
  { city: 'São Paulo', days: 3 },
  { city: 'a "quoted" \\ name\nof <two> lines', wind: true, scale: 0.5, near: ['x', "it's"], note: null },
  {},
]

for (const [format, calls] of Object.entries(written) as [ToolFormat, string][])
  t.test(`${format}: what its template writes is read as it was`, async (t) => {
    const hint =
      format === 'llama3_json' ? '{"name": function name, "parameters": }' : format === 'pythonic' ? '[func_name1(' : ''
    const source = `{%- if tools %}{{ '${hint}' if false }}{%- endif %}{%- for m in messages %}{%- if m.role == 'assistant' %}{{ m.content }}${calls}{%- endif %}{%- endfor %}`
    t.equal(formatsOf({}, source).tools, format, 'it shows its format')
    const template = new ModelChatTemplate(source, {})
    for (const content of withText.includes(format) ? ['', 'I look.'] : ['']) {
      const tool_calls = args.map((one) => ({ type: 'function', function: { name: 'get_weather', arguments: one } }))
      const text = template.render([{ role: 'assistant', content, tool_calls }], { addGenerationPrompt: false })
      for (const pieces of cutsOf(text)) {
        const use = { tools: TOOLS, choice: 'auto' as const, parallel: true }
        const read = messageOf(readerOf(formatsOf({}, source), { use }), pieces)
        const found = [read.content, ...read.calls.map((call) => JSON.parse(call.arguments))]
        if (JSON.stringify(found) !== JSON.stringify([content, ...args])) return t.same({ found, pieces }, [content, ...args])
      }
    }
  })
