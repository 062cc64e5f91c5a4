/** Calls in each format that models write them in: the same message however its text is cut, what is none stays text, and nothing makes a parser fail. */
import t from 'tap'
import { TOOL_FORMATS, type ToolFormat } from '../../../../server/openai/message/formats.ts'
import { cutsOf, messageOf, readerOf } from '../../../support/messages.ts'

interface Case {
  text: string
  content?: string
  reasoning?: string
  calls: [name: string, args: unknown][]
}

const paris = ['get_weather', { city: 'Paris', days: 3 }] as [string, unknown]
const tricky = ['get_weather', { city: 'a "b" \\ \n{}]</tool_call> é😀', near: ['x', { y: [null, true, -1.5e3] }] }] as [
  string,
  unknown,
]
const json = JSON.stringify
const object = ([name, args]: [string, unknown], key = 'arguments') => `{"name": ${json(name)}, "${key}": ${json(args)}}`

/** As the chat templates of such models write them. */
const cases: Record<ToolFormat, Case[]> = {
  hermes: [
    { text: `<tool_call>\n${object(paris)}\n</tool_call>`, calls: [paris] },
    {
      text: `Let me see.\n<tool_call>\n${object(paris)}\n</tool_call>\n<tool_call>\n${object(tricky)}\n</tool_call>`,
      content: 'Let me see.',
      calls: [paris, tricky],
    },
    {
      text: `<tool_call>{"arguments": {"city": "Rome"}, "id": [1, {}], "name": "get_weather"}</tool_call>`,
      calls: [['get_weather', { city: 'Rome' }]],
    },
    { text: `<tool_call>{"name":"now"}</tool_call>`, calls: [['now', {}]] },
    { text: `<tool_call>{"name": "get_weather", "arguments": ${json(json(tricky[1]))}}</tool_call>`, calls: [tricky] },
    { text: `<tool_call>{"name": "now", "arguments": "\\u0041"}</tool_call>`, calls: [['now', 'A']] },
    { text: `<tool_call>{"name":"now","arguments":null}`, calls: [['now', {}]] },
    { text: `<tool_call>\n${object(paris)}\n</tool_call>\nDone.`, content: 'Done.', calls: [paris] },
  ],
  llama3_json: [
    { text: object(paris, 'parameters'), calls: [paris] },
    { text: ` \n${object(tricky, 'parameters')}; ${object(paris)}\n`, calls: [tricky, paris] },
    { text: `<|python_tag|>${object(paris, 'parameters')}`, calls: [paris] },
    { text: `{"type": "function", "name": "now", "parameters": {}}`, calls: [['now', {}]] },
    {
      text: `Here it is: ${object(tricky, 'parameters')} Shall I say more of {it}?`,
      content: 'Here it is:Shall I say more of {it}?',
      calls: [tricky],
    },
    {
      text: `${object(paris, 'parameters')}\n{"city": "Paris"} was what I gave.`,
      content: '{"city": "Paris"} was what I gave.',
      calls: [paris],
    },
    ...['; ', ';', ';\n', '\n', ' ; '].map((between) => ({
      text: object(paris, 'parameters') + between + object(['now', {}], 'parameters'),
      calls: [paris, ['now', {}]] as [string, unknown][],
    })),
  ],
  granite: [
    { text: `<|tool_call|>[${object(paris)}, ${object(tricky)}]`, calls: [paris, tricky] },
    { text: `<tool_call> [ ${object(paris)} ]`, calls: [paris] },
    { text: `[${object(tricky)}]`, calls: [tricky] },
  ],
  phi4_mini_json: [
    { text: `functools[${object(paris)}, ${object(tricky, 'parameters')}]`, calls: [paris, tricky] },
    { text: `<|tool_call|>[${object(paris)}]<|/tool_call|>`, calls: [paris] },
    { text: `<|tool_call|>${object(paris)}<|/tool_call|><|tool_call|>${object(tricky)}<|/tool_call|>`, calls: [paris, tricky] },
  ],
  mistral: [
    { text: `[TOOL_CALLS][${object(paris)}, ${object(tricky)}]`, calls: [paris, tricky] },
    { text: `[TOOL_CALLS] [${object(paris)}]`, calls: [paris] },
    {
      text: `I look.[TOOL_CALLS]get_weather[ARGS]${json(paris[1])}[TOOL_CALLS]now[CALL_ID]abcdefghi[ARGS]{}`,
      content: 'I look.',
      calls: [paris, ['now', {}]],
    },
    { text: `[TOOL_CALLS]get_weather${json(tricky[1])}`, calls: [tricky] },
  ],
  deepseek_v3: [
    {
      text: `<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n\`\`\`json\n${json(paris[1])}\n\`\`\`<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n\`\`\`json\n${json(tricky[1])}\n\`\`\`<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
      calls: [paris, tricky],
    },
    {
      text: `Yes.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>${json(paris[1])}<｜tool▁call▁end｜><｜tool▁calls▁end｜>`,
      content: 'Yes.',
      calls: [paris],
    },
  ],
  pythonic: [
    { text: `[get_weather(city='Paris', days=3)]`, calls: [paris] },
    {
      text: `[get_weather(city="a \\"b\\" \\\\ \\n{}]</tool_call> \\u00e9😀", near=['x', {'y': [None, True, -1.5e3]}]), now()]`,
      calls: [tricky, ['now', {}]],
    },
    {
      text: `<|python_start|>[now( ), get_weather( city = 'it\\'s', days = 1_000, scale = .5, near = ('a',), at = {}, )]<|python_end|>`,
      calls: [
        ['now', {}],
        ['get_weather', { city: "it's", days: 1000, scale: 0.5, near: ['a'], at: {} }],
      ],
    },
  ],
  qwen3_coder: [
    {
      text: '<tool_call>\n<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>',
      calls: [paris],
    },
    {
      text: 'So:\n<tool_call>\n<function=get_weather>\n<parameter=city>\na\n\n"b" <parameter> </para\n\n</parameter>\n<parameter=wind>\nTrue\n</parameter>\n<parameter=scale>2.50</parameter>\n<parameter=near>\n["x", "y"]\n</parameter>\n<parameter=at>\n{\'lat\': 1.5}\n</parameter>\n<parameter=note>\nnull\n</parameter>\n<parameter=other>\n7\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=now>\n</function>\n</tool_call>',
      content: 'So:',
      calls: [
        [
          'get_weather',
          {
            city: 'a\n\n"b" <parameter> </para\n',
            wind: true,
            scale: 2.5,
            near: ['x', 'y'],
            at: { lat: 1.5 },
            note: null,
            other: '7',
          },
        ],
        ['now', {}],
      ],
    },
    {
      text: 'Yes.\n<seed:tool_call>\n<function=get_weather>\n<parameter=city>Paris</parameter>\n<parameter=days>3</parameter>\n</function>\n</seed:tool_call>',
      content: 'Yes.',
      calls: [paris],
    },
    {
      text: '<function=get_weather>\n<parameter=city>\nRome\n<parameter=days>\nsoon\n</function>',
      calls: [['get_weather', { city: 'Rome', days: 'soon' }]],
    },
  ],
  glm45: [
    {
      text: '<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Paris</arg_value>\n<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>',
      calls: [paris],
    },
    // GLM-4.7 sets no lines; what the schema does not know is read as what it looks like.
    {
      text: 'So. <tool_call>get_weather<arg_key>city</arg_key><arg_value>a "b"\n</arg_val <tool_call></arg_value><arg_key>near</arg_key><arg_value>["x"]</arg_value><arg_key>other</arg_key><arg_value>7</arg_value><arg_key>date</arg_key><arg_value>2025-08-01</arg_value><arg_key>flag</arg_key><arg_value>True</arg_value></tool_call>\n<tool_call>now\n</tool_call>',
      content: 'So.',
      calls: [
        ['get_weather', { city: 'a "b"\n</arg_val <tool_call>', near: ['x'], other: 7, date: '2025-08-01', flag: true }],
        ['now', {}],
      ],
    },
  ],
  kimi_k2: [
    {
      text: `I look. <|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_call_argument_begin|>${json(paris[1])}<|tool_call_end|><|tool_call_begin|>get_weather:1 <|tool_call_argument_begin|> ${json(tricky[1])} <|tool_call_end|><|tool_calls_section_end|>`,
      content: 'I look.',
      calls: [paris, tricky],
    },
    {
      text: `<|tool_calls_section_begin|><|tool_call_begin|>functions.now:7<|tool_call_argument_begin|>{}<|tool_call_end|>`,
      calls: [['now', {}]],
    },
  ],
  minimax_m2: [
    {
      text: '<minimax:tool_call>\n<invoke name="get_weather">\n<parameter name="city">Paris</parameter>\n<parameter name="days">3</parameter>\n</invoke>\n</minimax:tool_call>',
      calls: [paris],
    },
    {
      text: 'Two:\n<minimax:tool_call><invoke name="get_weather"><parameter name="city">a\n"b" <parameter </para</parameter><parameter name="near">["x"]</parameter><parameter name="note">null</parameter><parameter name="other">7</parameter></invoke><invoke name=now></invoke></minimax:tool_call>',
      content: 'Two:',
      calls: [
        ['get_weather', { city: 'a\n"b" <parameter </para', near: ['x'], note: null, other: '7' }],
        ['now', {}],
      ],
    },
  ],
  openai: [
    {
      text: `<|channel|>analysis<|message|>I should look.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>${json(paris[1])}<|call|>`,
      reasoning: 'I should look.',
      calls: [paris],
    },
    {
      text: `<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>It is {warm}.`,
      reasoning: 'Hm.',
      content: 'It is {warm}.',
      calls: [],
    },
    {
      text: `<|channel|>commentary<|message|>I look.<|end|><|start|>assistant to=functions.now<|channel|>commentary json<|message|>{}<|call|>`,
      content: 'I look.',
      calls: [['now', {}]],
    },
    { text: ` to=functions.now<|channel|>commentary<|message|><|call|>`, calls: [['now', {}]] },
  ],
}

for (const format of TOOL_FORMATS)
  t.test(`${format}: the same calls in every cut`, async (t) => {
    for (const { text, content = '', reasoning = '', calls } of cases[format])
      for (const whole of [false, true])
        for (const pieces of cutsOf(text)) {
          const read = messageOf(readerOf({ tools: format }, { whole }), pieces)
          const found = read.calls.map((call) => [call.name, parsed(call.arguments)])
          const same = json([read.content, read.reasoning, found]) === json([content, reasoning, calls])
          if (!same) return t.same({ ...read, calls: found, pieces }, { content, reasoning, calls, pieces })
        }
    t.pass()
  })

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return `no JSON: ${text}`
  }
}

t.test('a call that breaks off is text in a whole answer, and in a stream what came of it', async (t) => {
  // Harmony's marks are tokens, which nothing cuts; and it says itself what is a call.
  for (const format of TOOL_FORMATS.filter((format) => format !== 'openai')) {
    const [{ text }] = cases[format]
    for (let end = 1; end < text.length; end++) {
      const cut = text.slice(0, end)
      const streamed = messageOf(readerOf({ tools: format }), [...cut])
      const args = json(cases[format][0].calls[0][1])
      for (const call of streamed.calls.slice(0, 1)) {
        const compact = call.arguments.replaceAll(/([:,]) /g, '$1')
        if (call.name !== 'get_weather' || !args.startsWith(compact)) t.fail(`${format} ${cut}: ${json(call)}`)
      }
      const whole = messageOf(readerOf({ tools: format }, { whole: true }), [...cut])
      const calls = whole.calls.filter(({ arguments: text }) => typeof parsed(text) !== 'object')
      if (calls.length > 0 || (whole.calls.length === 0 && whole.content !== cut)) t.fail(`${format} ${cut}: ${json(whole)}`)
    }
  }
})

t.test('line ends in JSON strings are written as JSON has them', async (t) => {
  const text = '<tool_call>{"name": "get_weather", "arguments": {"city": "a\n\tb\u0001"}}</tool_call>'
  for (const pieces of cutsOf(text)) {
    const { calls } = messageOf(readerOf({ tools: 'hermes' }), pieces)
    if (json(parsed(calls[0]?.arguments)) !== json({ city: 'a\n\tb\u0001' })) return t.same(calls, pieces)
  }
  t.pass()
})

t.test('text goes out at once, and what may begin a call is held', async (t) => {
  const reader = readerOf({ tools: 'hermes' })
  t.same(reader.push('Hello', []), { content: 'Hello' })
  t.same(reader.push(' you <to', []), { content: ' you' })
  t.same(reader.push('p>', []), { content: ' <top>' })
  t.same(reader.push('<tool_call>{"name": "get_we', []), {})
  const [call] = reader.push('ather"', []).toolCalls ?? []
  t.match(call, { index: 0, id: /^call_[0-9a-f]{24}$/, name: 'get_weather', arguments: '' })
  t.same(reader.push(', "arguments": {"city": "Par', []), { toolCalls: [{ index: 0, arguments: '{"city": "Par' }] })
  t.same(reader.push('is"}', []), { toolCalls: [{ index: 0, arguments: 'is"}' }] })
  t.same(reader.push('}</tool_call>', []), {})
  t.same(reader.finish(), {})
})

t.test('without parallel calls the first is the only one', async (t) => {
  for (const format of TOOL_FORMATS)
    for (const { text, calls } of cases[format])
      for (const whole of [false, true]) {
        const use = { tools: [{ name: 'get_weather' }, { name: 'now' }], choice: 'auto' as const, parallel: false }
        const read = messageOf(readerOf({ tools: format }, { use, whole }), [...text])
        t.same(
          read.calls.map(({ name }) => name),
          calls.slice(0, 1).map(([name]) => name),
        )
      }
})

t.test('ids: nine letters or digits where the model wants them so', async (t) => {
  const [{ id }] = messageOf(readerOf({ tools: 'mistral' }), [cases.mistral[0].text]).calls
  t.match(id, /^[a-zA-Z0-9]{9}$/)
})

/** Numbers below n, the same for a seed. */
function random(seed: number) {
  let state = seed
  return (n: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * n)
  }
}

const SCRAPS = [
  ...Object.values(cases).flatMap((list) => list.flatMap(({ text }) => text.match(/<[^>]*>|\[[A-Z_]+\]|\w+|\s+|[^\w\s]/g) ?? [])),
  '<think>',
  '</think>',
  '\n',
  'Here is my thought process:',
]

t.test('no text makes a parser fail, cuts change nothing, and without calls no character is lost', async (t) => {
  const below = random(7)
  for (const format of TOOL_FORMATS)
    for (let round = 0; round < 400; round++) {
      const text = Array.from({ length: 1 + below(24) }, () => SCRAPS[below(SCRAPS.length)]).join('')
      for (const whole of [false, true]) {
        const at = below(text.length)
        const ways = [[text], [...text], [text.slice(0, at), text.slice(at)]].map((pieces) => {
          const { reasoning, content, calls } = messageOf(readerOf({ tools: format }, { whole }), pieces)
          return json({ reasoning, content, calls: calls.map((call) => [call.name, call.arguments]) })
        })
        if (new Set(ways).size > 1) return t.same({ format, text, ways }, 'one message')
        const { content, calls } = JSON.parse(ways[0])
        if (format !== 'openai' && calls.length === 0 && content !== text) return t.same({ format, whole, content }, text)
      }
    }
  t.pass()
})

t.test('a long answer takes time by its length', async (t) => {
  const size = 100_000
  const string = `"${'abc \\n'.repeat(size / 6)}"`
  const texts: Record<ToolFormat, string> = {
    glm45: `<tool_call>f<arg_key>x</arg_key><arg_value>${'\n</arg_val'.repeat(size / 10)}</arg_value></tool_call>`,
    kimi_k2: `<|tool_calls_section_begin|>${'<|tool_call_begin|>now:0<|tool_call_argument_begin|>{}'.repeat(size / 54)}`,
    minimax_m2: `<minimax:tool_call>${'<invoke name="now"><parameter name="a">\n</par</parameter></invoke>'.repeat(size / 66)}`,
    hermes: `<tool_call>{"name": "f", "arguments": {"x": ${string}}}</tool_call>`,
    llama3_json: `{"x": ${string}, "name": "f", "parameters": {"x": 1}}`,
    granite: `<tool_call>[${Array(size / 25)
      .fill('{"name": "f"}')
      .join(', ')}]`,
    phi4_mini_json: 'functools'.repeat(size / 9),
    mistral: `[TOOL_CALLS]f[ARGS]${'[[{"a":'.repeat(size / 7)}`,
    deepseek_v3: '<｜tool▁calls▁begin｜>'.repeat(size / 20),
    pythonic: `[f(x='${'\\n '.repeat(size / 3)}')]`,
    qwen3_coder: `<tool_call><function=f><parameter=x>${'\n<par'.repeat(size / 5)}</parameter></function>`,
    openai: `<|channel|>analysis<|message|>${' '.repeat(size)}<|end|>`,
  }
  const spaces = { hermes: ' '.repeat(size) } as Partial<Record<ToolFormat, string>>
  for (const whole of [false, true])
    for (const [format, text] of [...Object.entries(texts), ...Object.entries(spaces)] as [ToolFormat, string][]) {
      const from = performance.now()
      messageOf(readerOf({ tools: format }, { whole }), text.match(/[\s\S]{1,4}/g) ?? [])
      const ms = performance.now() - from
      t.ok(ms < 2000, `${format}: ${Math.round(ms)} ms for 25,000 tokens`)
      messageOf(readerOf({ tools: format }, { whole }), [text])
      t.ok(performance.now() - from - ms < 2000, `${format}: at once`)
    }
})
