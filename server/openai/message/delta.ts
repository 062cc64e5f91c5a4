/** An assistant's message as it grows: what was reasoned, what is said, which tools are called. Every API's stream (chat, responses, Anthropic's messages) is written from these. */

export interface ToolCallDelta {
  /** Which call of the message. */
  index: number
  /** With a call's first delta. */
  id?: string
  name?: string
  /** The next characters of its arguments' JSON. */
  arguments?: string
}

export interface MessageDelta {
  reasoning?: string
  content?: string
  toolCalls?: ToolCallDelta[]
}

/** Splits one choice's text as it comes. Whatever the cuts of the text are, the deltas add up to the same message. */
export interface MessageReader {
  /** Of the tokens so far, those that were reasoning. */
  readonly reasoningTokens: number
  /** All calls that the message may have are there: what comes now is not wanted. Absent: it may have any number. */
  readonly enough?: boolean
  /** A call that has been told broke off: its arguments are no JSON. */
  readonly brokenOff?: boolean
  /** The text that has come; `tokens`: those that brought it. */
  push(text: string, tokens: readonly number[]): MessageDelta
  /** At the end of the text: what was held back. */
  finish(): MessageDelta
}
