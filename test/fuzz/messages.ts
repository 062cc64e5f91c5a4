/**
 * Answers of models to the readers of calls and reasoning: calls that are whole, cut off and damaged, between prose and marks of all formats. Nothing fails; the cuts of the text change nothing; no word is lost
 * that stands outside of a call, and in a whole answer none at all; and the time a token takes does not grow with the text.
 */
import { REASONING_FORMATS, TOOL_FORMATS, type ToolFormat } from '../../server/openai/message/formats.ts'
import { anyCalls, anyText, toolsOf, WRITERS } from '../support/call-writers.ts'
import { messageOf, type ReadMessage, readerOf } from '../support/messages.ts'
import { oddText } from './odd.ts'
import { Fault, type Random, run } from './trial.ts'

/** Words that no format has, each once in a text. */
function words(random: Random) {
  let next = 0
  return () => `w${next++}${random.pick(['x', 'é', '\u{1f600}', '日'])}z`
}

interface Part {
  text: string
  /** In it nothing is a call's. */
  prose: boolean
  damaged?: boolean
}

function damage(text: string, random: Random, word: () => string): string {
  const at = random.below(text.length + 1)
  switch (random.below(4)) {
    case 0:
      return text.slice(0, at)
    case 1:
      return text.slice(0, at) + text.slice(at + 1 + random.below(4))
    case 2:
      return `${text.slice(0, at)} ${word()} ${text.slice(at)}`
    default:
      return text.slice(0, at) + random.pick(['"', '}', ']', '<', '\\', '\n', '{', "'", ')', '\ud83d']) + text.slice(at)
  }
}

function partsOf(format: ToolFormat, random: Random, word: () => string): Part[] {
  return Array.from({ length: 1 + random.below(5) }, (): Part => {
    if (random.below(3) === 0)
      return { text: ` ${word()} ${random.below(3) ? '' : anyText(format, random.below)} ${word()} `, prose: true }
    if (random.below(12) === 0) return { text: oddText(random).slice(0, 200), prose: false, damaged: true }
    const whole = WRITERS[format].write(anyCalls(format, random.below), random.below)
    if (random.below(2)) return { text: whole, prose: false }
    return { text: damage(whole, random, word), prose: false, damaged: true }
  })
}

const WORD = /w\d+(?:x|é|\u{1f600}|日)z/gu

const allOf = ({ reasoning, content, calls }: ReadMessage) =>
  reasoning + content + calls.map((call) => `${call.name}${call.arguments}`).join('')

const plain = ({ reasoning, content, calls }: ReadMessage) =>
  JSON.stringify([reasoning, content, calls.map((call) => [call.name, call.arguments])])

function randomCuts(text: string, random: Random): string[] {
  const most = random.pick([1, 3, 12, 200])
  const pieces: string[] = []
  for (let at = 0; at < text.length; at += pieces.at(-1)?.length ?? 1) pieces.push(text.slice(at, at + 1 + random.below(most)))
  return pieces
}

/** A word is lost where it stands in no part of the message. */
function checkWords(text: string, message: ReadMessage, only?: readonly string[]): void {
  const said = allOf(message)
  for (const word of only ?? text.match(WORD) ?? [])
    if (!said.includes(word)) throw new Fault(`lost ${word}: ${JSON.stringify({ text, message })}`)
}

function attempt(random: Random): string {
  const format = random.pick(TOOL_FORMATS)
  if (random.below(400) === 0) return long(format, random)
  const word = words(random)
  const parts = partsOf(format, random, word)
  const text = parts.map((part) => part.text).join('')
  const use = { tools: toolsOf(anyCalls(format, random.below)), choice: 'auto' as const, parallel: random.below(4) > 0 }
  const formats = { tools: format, ...(random.below(2) && { reasoning: random.pick(REASONING_FORMATS) }) }
  let called = false
  for (const whole of [false, true]) {
    const ways = [[text], randomCuts(text, random), randomCuts(text, random)]
    const read = ways.map((pieces) => messageOf(readerOf(formats, { use, whole }), pieces))
    for (const [i, other] of read.entries())
      if (plain(other) !== plain(read[0]))
        throw new Fault(`cuts change it: ${JSON.stringify({ formats, whole, text, pieces: ways[i], read })}`)
    called ||= read[0].calls.length > 0
    // Harmony has heads that are no text, and between its messages there is none; of calls that may not be, nothing is written.
    if (format === 'openai' || formats.reasoning === 'openai_gptoss' || !use.parallel) continue
    const damaged = parts.some((part) => part.damaged)
    if (whole && !damaged) checkWords(text, read[0])
    else if (!damaged)
      checkWords(
        text,
        read[0],
        parts.flatMap((part) => (part.prose ? (part.text.match(WORD) ?? []) : [])),
      )
    if (whole && read[0].calls.length === 0 && read[0].reasoning + read[0].content !== text && formats.reasoning === undefined)
      throw new Fault(`no call, and not the text: ${JSON.stringify({ formats, text, message: read[0] })}`)
  }
  return called ? 'called' : 'text'
}

/** 100,000 tokens of what may be worst: a mark, a brace or a call over and over, or one string. In as many pieces it may take four times what linear time is, beside others. */
function long(format: ToolFormat, random: Random): string {
  const calls = anyCalls(format, random.below)
  const whole = WRITERS[format].write(calls, random.below)
  const unit = random.pick([
    whole,
    whole.slice(0, 1 + random.below(whole.length)),
    anyText(format, random.below) || ' ',
    ' ',
    '{',
    '<',
  ])
  const ofTokens = (tokens: number) => {
    const text = unit.repeat(Math.ceil((tokens * 4) / unit.length)).slice(0, tokens * 4)
    const pieces = text.match(/[\s\S]{4}/g) ?? []
    const from = performance.now()
    messageOf(readerOf({ tools: format }, { whole: random.below(2) === 1 }), pieces)
    return performance.now() - from
  }
  ofTokens(10_000)
  const short = ofTokens(10_000)
  const all = ofTokens(100_000)
  if (all > 40 * short && all > 1000)
    throw new Fault(
      `100,000 tokens take ${Math.round(all)} ms and 10,000 ${Math.round(short)} ms: ${format}, ${JSON.stringify(unit)}`,
    )
  return 'long'
}

await run({ name: 'messages', attempt, expected: ['called', 'text', 'long'], patience: 20_000 })
