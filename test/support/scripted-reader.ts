/** A reader of messages that a test wrote: what it makes of each piece of text, in order. */
import type { MessageDelta, MessageReader } from '../../server/openai/message/delta.ts'
import { type MessageParts, Reading } from '../../server/openai/message/reading.ts'

export class ScriptedReader implements MessageReader {
  reasoningTokens = 0
  private readonly deltas: MessageDelta[]
  private readonly last: MessageDelta

  constructor(deltas: MessageDelta[], last: MessageDelta = {}) {
    this.deltas = [...deltas]
    this.last = last
  }

  push(): MessageDelta {
    const delta = this.deltas.shift() ?? {}
    if (delta.reasoning) this.reasoningTokens++
    return delta
  }

  finish(): MessageDelta {
    return this.last
  }
}

/** Has `parts` told a message of these deltas, a token each; returns how it ended. */
export function tell(
  parts: MessageParts,
  deltas: MessageDelta[],
  end: { finish: 'stop' | 'length'; stopReason?: string | null; last?: MessageDelta } = { finish: 'stop' },
): Reading {
  const reading = new Reading(new ScriptedReader(deltas, end.last), parts)
  for (const [i, _delta] of deltas.entries()) {
    const ends = i === deltas.length - 1
    reading.take({
      first: i === 0,
      text: 'x',
      tokens: [i],
      ...(ends && { finish: end.finish, stopReason: end.stopReason ?? null }),
    })
  }
  return reading
}
