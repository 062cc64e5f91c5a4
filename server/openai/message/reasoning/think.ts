/** Reasoning between `<think>` and `</think>`, at the beginning of an answer or of what the prompt has begun. */
import type { MessageWriter } from '../message-writer.ts'
import type { Reading, TextSource } from '../text-source.ts'
import type { Begun, ReasoningParser } from './parser.ts'

const BEGIN = '<think>'
const END = '</think>'
/** Qwen 3.5 calls tools without ending its reasoning first. */
const CALL = '<tool_call>\n<function='

/** Templates open it, or write an empty one where thinking is turned off. Earlier turns' may be near the end too: then text follows them. */
function begunBy(promptEnd: string, continues: boolean): Begun {
  const begin = promptEnd.lastIndexOf(BEGIN)
  const end = promptEnd.lastIndexOf(END)
  if (begin < 0 && end < 0) return undefined
  const rest = promptEnd.slice(Math.max(begin + BEGIN.length, end + END.length))
  if (rest.trim() !== '' && !continues) return undefined
  return begin > end ? 'begun' : 'over'
}

/** `unopened`: an answer without `<think>` is reasoning too, up to its `</think>`. */
function* read(source: TextSource, out: MessageWriter, begun: Begun, unopened: boolean): Reading {
  if (begun === 'over') return
  out.reasons = begun === 'begun'
  source.record()
  yield* source.space()
  const opened = yield* source.literal(BEGIN)
  const text = source.recorded()
  if (!opened && begun === undefined && !unopened) {
    if (text !== '') out.content(text)
    return
  }
  out.reasons = true
  if (!opened && text !== '') out.reasoning(text)
  const end = yield* source.until([END, CALL], (more) => out.reasoning(more))
  out.reasons = false
  if (end === CALL) source.back(CALL)
}

const thinkParser = (unopened: boolean): ReasoningParser => ({
  tokens: [BEGIN, END],
  begunBy,
  thought: (begun) =>
    begun === 'over' ? undefined : { begin: begun || unopened ? '' : BEGIN, end: END, optional: !begun && !unopened },
  read: (source, out, begun) => read(source, out, begun, unopened),
})

/** What has no `<think>`, from the template or the model, was answered without thinking. */
export const qwen3 = thinkParser(false)

/** Early templates and models leave `<think>` out. */
export const deepseekR1 = thinkParser(true)
