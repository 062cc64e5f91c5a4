/** Granite 3.2: `Here is my thought process: … Here is my response: …`. */
import type { ReasoningParser } from './parser.ts'

const BEGINNINGS = ['Here is my thought process:', "Here's my thought process:"]
const ENDS = ['Here is my response:', "Here's my response:"]

export const granite: ReasoningParser = {
  tokens: [],
  begunBy: () => undefined,
  thought: () => ({ begin: BEGINNINGS[0], end: ENDS[0], optional: true }),
  *read(source, out) {
    source.record()
    yield* source.space()
    const begun = yield* source.literal(...BEGINNINGS)
    const text = source.recorded()
    if (!begun) {
      if (text !== '') out.content(text)
      return
    }
    out.reasons = true
    yield* source.until(ENDS, (more) => out.reasoning(more))
    out.reasons = false
  },
}
