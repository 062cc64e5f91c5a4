/** Calls with arguments of every kind, written in each format, are read as they were: whatever the cuts, whole and streamed, behind text and reasoning. */
import t from 'tap'
import { TOOL_FORMATS, type ToolFormat } from '../../../../server/openai/message/formats.ts'
import { anyCalls, toolsOf, WRITERS, type WrittenCall } from '../../../support/call-writers.ts'
import { cutsOf, messageOf, readerOf } from '../../../support/messages.ts'
import { seeded } from '../../../support/pace.ts'

const same = (one: unknown, other: unknown) => JSON.stringify(one) === JSON.stringify(other)

/** Tools of different names for all calls: their schemas say what each one's arguments are. */
const named = (calls: WrittenCall[]) => calls.map((call, i) => ({ ...call, name: `${call.name}_${i}` }))

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return `no JSON: ${text}`
  }
}

for (const format of TOOL_FORMATS)
  t.test(format, async (t) => {
    const random = seeded(11)
    const { write, afterText } = WRITERS[format]
    for (let round = 0; round < 120; round++) {
      const calls = named(anyCalls(format, random.below))
      const before = afterText && random.below(2) ? 'Let me see \u{1f914}.' : ''
      const reasoning = random.below(3) ? '' : 'The user wants this,\n so {I} call.'
      const text = `${thought(format, reasoning)}${before}${before && random.below(2) ? '\n' : ''}${write(calls, random.below)}`
      const use = { tools: toolsOf(calls), choice: 'auto' as const, parallel: true }
      const formats = { tools: format, reasoning: format === 'openai' ? ('openai_gptoss' as const) : ('qwen3' as const) }
      // Every cut of the first ones, and of all some at random, inside of surrogate pairs too.
      const cuts = round < 12 ? cutsOf(text) : Array.from({ length: 4 }, () => randomCuts(text, random.below))
      for (const pieces of cuts)
        for (const whole of [false, true]) {
          const read = messageOf(readerOf(formats, { use, whole }), pieces)
          const found = read.calls.map(({ name, arguments: args }) => ({ name, args: parsed(args) }))
          const ids = new Set(read.calls.map(({ id }) => id))
          if (
            !same([read.content.trim(), read.reasoning.trim(), found], [before, reasoning.trim(), calls]) ||
            ids.size < calls.length
          )
            return t.same({ ...read, calls: found, pieces, round }, { content: before, reasoning, calls, pieces, round })
        }
    }
    t.pass()
  })

function thought(format: ToolFormat, reasoning: string): string {
  if (reasoning === '') return ''
  return format === 'openai' ? `<|channel|>analysis<|message|>${reasoning}<|end|>` : `<think>\n${reasoning}\n</think>\n\n`
}

function randomCuts(text: string, below: (n: number) => number): string[] {
  const pieces: string[] = []
  for (let at = 0; at < text.length; ) {
    const length = 1 + below(below(4) ? 6 : 60)
    pieces.push(text.slice(at, at + length))
    at += length
  }
  return pieces
}

t.test('harmony: a preamble, thoughts between calls, an answer, and text that the prompt has begun', async (t) => {
  const text =
    '<|channel|>analysis<|message|>First.<|end|><|start|>assistant<|channel|>commentary<|message|>I will look twice.<|end|>' +
    '<|start|>assistant<|channel|>commentary to=functions.now <|constrain|>json<|message|>{}<|call|>' +
    '<|start|>assistant<|channel|>analysis<|message|> Then.<|end|><|start|>assistant to=functions.get_weather<|channel|>commentary<|message|>{"city": "<|x|>"}<|call|>' +
    '<|start|>assistant<|channel|>final<|message|>Warm \u{1f600}.<|return|>'
  for (const pieces of cutsOf(text))
    for (const whole of [false, true]) {
      const { reasoning, content, calls } = messageOf(readerOf({ tools: 'openai' }, { whole }), pieces)
      const found = [reasoning, content.replace(/\s/g, ''), calls.map((call) => [call.name, call.arguments])]
      const wanted = [
        'First. Then.',
        'Iwilllooktwice.Warm\u{1f600}.',
        [
          ['now', '{}'],
          ['get_weather', '{"city": "<|x|>"}'],
        ],
      ]
      if (!same(found, wanted)) return t.same({ found, pieces }, { wanted })
    }
  t.pass()
})
