/** Calls as models write them in each format, with arguments of any kind: what parsers must give back, and what fuzzers damage. */
import type { ToolFormat } from '../../server/openai/message/formats.ts'
import type { ToolDefinition } from '../../server/openai/message/tool-use.ts'

export interface WrittenCall {
  name: string
  args: Record<string, unknown>
}

/** Numbers below n. */
export type Below = (n: number) => number

interface Writer {
  write(calls: readonly WrittenCall[], below: Below): string
  /** What a string must not hold, since the format could not say it; absent: it can say any. */
  never?: RegExp
  /** Text may stand before calls. */
  afterText: boolean
}

const json = (value: unknown, below: Below) => {
  const text = JSON.stringify(value, null, below(3) === 0 ? 1 : undefined)
  return below(3) ? text : text.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

const object = ({ name, args }: WrittenCall, key: string, below: Below) =>
  below(4)
    ? `{"name": ${JSON.stringify(name)}, "${key}": ${json(args, below)}}`
    : `{"${key}": ${json(args, below)}, "name": ${JSON.stringify(name)}}`

const list = (calls: readonly WrittenCall[], below: Below) =>
  `[${calls.map((call) => object(call, 'arguments', below)).join(', ')}]`

/** As Python's repr, or nearly. */
function python(value: unknown, below: Below): string {
  if (typeof value === 'string') {
    const quote = below(2) ? "'" : '"'
    return quote + value.replace(/[\\'"\n]/g, (c) => (c === '\n' ? '\\n' : c === '\\' || c === quote ? `\\${c}` : c)) + quote
  }
  if (value === null) return 'None'
  if (typeof value === 'boolean') return value ? 'True' : 'False'
  if (Array.isArray(value)) return `[${value.map((one) => python(one, below)).join(', ')}]`
  if (typeof value === 'object')
    return `{${Object.entries(value)
      .map(([key, one]) => `${python(key, below)}: ${python(one, below)}`)
      .join(', ')}}`
  return String(value)
}

const bare = (value: unknown) => (typeof value === 'string' ? value : JSON.stringify(value))
const entries = ({ args }: WrittenCall, each: (key: string, value: string) => string) =>
  Object.entries(args)
    .map(([key, value]) => each(key, bare(value)))
    .join('')

export const WRITERS: Record<ToolFormat, Writer> = {
  hermes: {
    write: (calls, below) =>
      calls.map((call) => `<tool_call>\n${object(call, 'arguments', below)}\n</tool_call>`).join(below(2) ? '\n' : ''),
    afterText: true,
  },
  llama3_json: {
    write: (calls, below) =>
      calls.map((call) => object(call, below(2) ? 'parameters' : 'arguments', below)).join(['; ', ';', '\n'][below(3)]),
    afterText: true,
  },
  granite: { write: (calls, below) => `<|tool_call|>${list(calls, below)}`, afterText: true },
  phi4_mini_json: { write: (calls, below) => `functools${list(calls, below)}`, afterText: true },
  mistral: {
    write: (calls, below) =>
      below(2)
        ? `[TOOL_CALLS] ${list(calls, below)}`
        : calls.map(({ name, args }) => `[TOOL_CALLS]${name}${below(2) ? '[ARGS]' : ''}${json(args, below)}`).join(''),
    afterText: true,
  },
  deepseek_v3: {
    write: (calls, below) =>
      `<｜tool▁calls▁begin｜>${calls
        .map(({ name, args }) =>
          below(2)
            ? `<｜tool▁call▁begin｜>function<｜tool▁sep｜>${name}\n\`\`\`json\n${json(args, below)}\n\`\`\`<｜tool▁call▁end｜>`
            : `<｜tool▁call▁begin｜>${name}<｜tool▁sep｜>${json(args, below)}<｜tool▁call▁end｜>`,
        )
        .join('')}<｜tool▁calls▁end｜>`,
    afterText: true,
  },
  kimi_k2: {
    write: (calls, below) =>
      `<|tool_calls_section_begin|>${calls
        .map(
          ({ name, args }, i) =>
            `<|tool_call_begin|>functions.${name}:${i}<|tool_call_argument_begin|>${json(args, below)}<|tool_call_end|>`,
        )
        .join('')}<|tool_calls_section_end|>`,
    afterText: true,
  },
  pythonic: {
    write: (calls, below) =>
      `[${calls
        .map(
          ({ name, args }) =>
            `${name}(${Object.entries(args)
              .map(([key, value]) => `${key}=${python(value, below)}`)
              .join(', ')})`,
        )
        .join(', ')}]`,
    afterText: false,
  },
  qwen3_coder: {
    write: (calls) =>
      calls
        .map(
          (call) =>
            `<tool_call>\n<function=${call.name}>\n${entries(call, (key, value) => `<parameter=${key}>\n${value}\n</parameter>\n`)}</function>\n</tool_call>`,
        )
        .join('\n'),
    never: /<\/?(parameter|function)/,
    afterText: true,
  },
  glm45: {
    write: (calls, below) => {
      const line = below(2) ? '\n' : ''
      return calls
        .map(
          (call) =>
            `<tool_call>${call.name}${line}${entries(call, (key, value) => `<arg_key>${key}</arg_key>${line}<arg_value>${value}</arg_value>${line}`)}</tool_call>`,
        )
        .join('\n')
    },
    never: /<\/arg_value/,
    afterText: true,
  },
  minimax_m2: {
    write: (calls) =>
      `<minimax:tool_call>\n${calls
        .map(
          (call) =>
            `<invoke name="${call.name}">\n${entries(call, (key, value) => `<parameter name="${key}">${value}</parameter>\n`)}</invoke>\n`,
        )
        .join('')}</minimax:tool_call>`,
    never: /<\/parameter|^\n|\n$/,
    afterText: true,
  },
  openai: {
    write: (calls, below) =>
      calls
        .map(
          ({ name, args }) =>
            `<|start|>assistant<|channel|>commentary to=functions.${name} <|constrain|>json<|message|>${json(args, below)}<|call|>`,
        )
        .join(''),
    never: /<\|(start|end|call|return|channel)/,
    afterText: false,
  },
}

/** Text of all kinds, with the marks of every format in it. */
const PIECES = [
  'a',
  'Zürich',
  'e\u0301',
  '\u{1f600}',
  '\u{1f469}\u200d\u{1f680}',
  '日本',
  ' ',
  '  ',
  '\n',
  '"',
  "'",
  '\\',
  '{}',
  '[1]',
  '</tool_call>',
  '<tool_call>',
  '[TOOL_CALLS]',
  '[ARGS]',
  'functools[',
  '<|tool_call|>',
  '<|python_tag|>',
  '<｜tool▁call▁end｜>',
  '```',
  '<|tool_call_end|>',
  '</parameter>',
  '</arg_value>',
  '<|call|>',
  '</think>',
  ')]',
  '; ',
  '\\u0041',
  '%',
]

const ASTRAL_PLANE = 0x1f300

/** A string that the format can say. */
export function anyText(format: ToolFormat, below: Below): string {
  for (;;) {
    const text = Array.from({ length: below(8) }, () =>
      below(12) ? PIECES[below(PIECES.length)] : String.fromCodePoint(ASTRAL_PLANE + below(256)),
    ).join('')
    if (!WRITERS[format].never?.test(text)) return text
  }
}

function anyValue(format: ToolFormat, below: Below, depth: number): unknown {
  const kind = below(depth > 2 ? 5 : 7)
  if (kind < 2) return anyText(format, below)
  if (kind === 2) return [0, -1, 42, 1.5, -2e-7, 123456789][below(6)]
  if (kind === 3) return below(2) === 1
  if (kind === 4) return null
  if (kind === 5) return Array.from({ length: below(4) }, () => anyValue(format, below, depth + 1))
  return Object.fromEntries(
    Array.from({ length: below(4) }, (_, i) => [
      `k${i}${below(3) ? '' : anyText(format, below)}`,
      anyValue(format, below, depth + 1),
    ]),
  )
}

/** A few calls of `toolsOf`'s. */
export function anyCalls(format: ToolFormat, below: Below): WrittenCall[] {
  return Array.from({ length: 1 + below(3) }, () => ({
    name: `tool_${below(3)}`,
    args: Object.fromEntries(Array.from({ length: below(5) }, (_, i) => [`arg${i}`, anyValue(format, below, 0)])),
  }))
}

/** Tools with a schema of what each call gives: formats of bare text need it to tell "7" from 7. One tool for each call. */
export function toolsOf(calls: readonly WrittenCall[]): ToolDefinition[] {
  return calls.map(({ name, args }) => {
    const properties = Object.fromEntries(Object.entries(args).map(([key, value]) => [key, { type: typeOf(value) }]))
    return { name, parameters: { type: 'object', properties } }
  })
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  return Array.isArray(value) ? 'array' : typeof value
}
