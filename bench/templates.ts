/**
 * Chat templates against transformers: node dist/bench/templates.js FOLDER   (bench/templates/gather.py and reference.py fill the folder)
 * A row for each template whose prompts differ somewhere, a table of all conversations, and how long a rendering takes.
 */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { keepText } from '../server/exact-json.ts'
import { conversationOf } from '../server/openai/messages.ts'
import { ModelChatTemplate } from '../server/tokenizer/chat-template.ts'
import type { Limits } from '../server/types.ts'

interface Outcome {
  text?: string
  error?: string
}
type Forms = Record<'given' | 'joined' | 'lists', Outcome>

const [folder, only = ''] = process.argv.slice(2)
const { tokens, bodies, results } = JSON.parse(readFileSync(path.join(folder, 'reference.json'), 'utf8')) as {
  tokens: Record<string, string>
  bodies: Record<string, string>
  results: Record<string, Record<string, Forms>>
}
const limits = { trustRequestChatTemplate: true } as Limits
const now = () => new Date(2024, 1, 9, 15, 4, 5, 678)

/** As the server reads it. */
function bodyOf(text: string): Record<string, unknown> {
  const body = JSON.parse(text) as Record<string, unknown>
  keepText(text, body)
  return body
}

function ours(template: ModelChatTemplate, body: string): Outcome {
  try {
    const { messages, options } = conversationOf(bodyOf(body), limits)
    return { text: template.render(messages, options) }
  } catch (error) {
    return { error: (error as Error).message }
  }
}

const same = (a: Outcome, b: Outcome) => a.text === b.text

/** `equal` to transformers' of the same messages; `parts`: to transformers' of what vLLM hands to such a template. */
function verdict(got: Outcome, { given, joined, lists }: Forms): 'equal' | 'parts' | 'other' {
  if (same(got, given)) return 'equal'
  return same(got, joined) || same(got, lists) ? 'parts' : 'other'
}

const counts = { equal: 0, parts: 0, other: 0, refused: 0 }
const byConversation = new Map<string, typeof counts>()
const times: number[] = []
for (const [file, wanted] of Object.entries(results)) {
  const source = readFileSync(path.join(folder, file), 'utf8')
  let template: ModelChatTemplate | undefined
  try {
    template = new ModelChatTemplate(source, tokens, undefined, now)
  } catch (error) {
    console.log(`${file}: ${(error as Error).message}`)
  }
  for (const [name, forms] of Object.entries(wanted)) {
    const got = template ? ours(template, bodies[name]) : { error: 'not compiled' }
    const is = verdict(got, forms)
    const row = byConversation.get(name) ?? { equal: 0, parts: 0, other: 0, refused: 0 }
    byConversation.set(name, row)
    for (const all of [counts, row]) {
      all[is]++
      if (is === 'equal' && got.text === undefined) all.refused++
    }
    if (is === 'other' || (only !== '' && is === only)) console.log(JSON.stringify({ file, name, is, got, ...forms }, null, 1))
  }
  if (!template) continue
  const { messages, options } = conversationOf(bodyOf(bodies['system, turns']), limits)
  const began = performance.now()
  for (let i = 0; i < 20; i++)
    try {
      template.render(messages, options)
    } catch {
      // A template that refuses a system message.
    }
  times.push((performance.now() - began) / 20)
}
console.log('| conversation | equal | of which refused by both | as vLLM hands parts on | different |\n|---|---|---|---|---|')
for (const [name, row] of byConversation) console.log(`| ${name} | ${row.equal} | ${row.refused} | ${row.parts} | ${row.other} |`)
console.log(`| all | ${counts.equal} | ${counts.refused} | ${counts.parts} | ${counts.other} |`)
times.sort((a, b) => a - b)
console.log(
  `${times.length} templates; milliseconds of a rendering (a system message and three turns): median ${times[times.length >> 1].toFixed(3)}, largest ${times.at(-1)?.toFixed(3)}`,
)
