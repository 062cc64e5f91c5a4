/** How the messages of one request are read: by the model's formats, the request's tools, and where its prompt ends. Any API may ask. */
import { randomBytes } from 'node:crypto'
import { ApiError } from '../../errors.ts'
import type { Constraint } from '../../structured/constraint.ts'
import type { TokenIds, TokenReader } from '../../types.ts'
import { afterReasoning } from './after-reasoning.ts'
import type { MessageReader } from './delta.ts'
import { constraintOf, readEnforced } from './enforced.ts'
import type { MessageFormats } from './formats.ts'
import { FormatReader } from './message-reader.ts'
import { MessageWriter } from './message-writer.ts'
import { REASONING_PARSERS } from './reasoning/index.ts'
import type { Reading, TextSource } from './text-source.ts'
import { TOOL_PARSERS, type ToolParser } from './tool-parsers/index.ts'
import type { ToolDefinition, ToolUse } from './tool-use.ts'

/** What of a Serving decides it. */
interface Model {
  formats?: MessageFormats
  tokenizer: TokenReader
}

export interface MessageRequest {
  /** Absent: no tools. */
  use?: ToolUse
  /** What else the answer must be (response_format and its like). No calls are read then, but for tags that may stand around them. */
  structured?: Constraint
  /** False: what was reasoned is left out of the message. */
  includeReasoning: boolean
  /** The deltas are not sent on as they come: see MessageWriter. */
  whole: boolean
  promptIds: TokenIds
  /** The answer goes on with the prompt's last message. */
  continues: boolean
}

export interface MessageReading {
  /** One for each choice. */
  reader(): MessageReader
  /** What the answer must be, by tool_choice or else by `MessageRequest.structured`, and what may be reasoned before. */
  structured?: Constraint
  /** The field that says so, where that is the tools'. */
  structuredField?: string
  /** Special tokens that must stay in the text although others are left out. */
  keepTokens: readonly string[]
  /** The finish_reason, instead of `stop`, of a message with calls: OpenAI's and vLLM's of one that was named is `stop`. */
  calledFinish: 'tool_calls' | 'stop'
}

/** Tokens of a prompt's end that are looked at, and of one that an answer goes on with. */
const END_TOKENS = 16
const CONTINUED_TOKENS = 1024

const callId = () => `call_${randomBytes(12).toString('hex')}`

/** undefined: the message is its text. Throws ApiError when tools may be called and nobody knows how this model does. */
export function messageReaderFor(model: Model, request: MessageRequest): MessageReading | undefined {
  const { formats = {}, tokenizer } = model
  const { use } = request
  const choice = use && use.tools.length > 0 ? use.choice : 'none'
  const wanted = use && choice !== 'none' ? constraintOf(use) : undefined
  const held = wanted ?? request.structured
  const auto = choice === 'auto' ? autoParser(formats) : undefined
  const parser = held && held.kind !== 'structural_tag' ? undefined : auto
  // Harmony's calls and reasoning are read by one parser.
  const reasoner = formats.reasoning && parser !== TOOL_PARSERS.openai ? REASONING_PARSERS[formats.reasoning] : undefined
  const begun = reasoner?.begunBy(promptEnd(tokenizer, request), request.continues)
  // Tags say themselves what may stand before them, and how it is to be told.
  const thought = held && held.kind !== 'structural_tag' ? reasoner?.thought(begun) : undefined
  // A grammar without a thought holds from the first token on: there is none to be read.
  const reads = held && !thought ? undefined : reasoner
  if (!parser && !wanted && !reads) return undefined
  const options = {
    callId: parser?.callId ?? (formats.tools && TOOL_PARSERS[formats.tools].callId) ?? callId,
    mostCalls: use?.parallel === false ? 1 : Number.POSITIVE_INFINITY,
    // What a grammar enforced and max_tokens cut is a call that was cut.
    whole: request.whole && !wanted,
    hideReasoning: !request.includeReasoning,
  }
  const tools = use?.tools ?? []
  const rest = wanted ? readEnforced(choice) : parser ? withTools(parser, tools) : text
  const parse = function* (source: TextSource, out: MessageWriter): Reading {
    if (reads) yield* reads.read(source, out, begun)
    yield* rest(source, out)
  }
  return {
    reader: () => new FormatReader(new MessageWriter(options), (token) => tokenizer.token(token).text, parse),
    ...(held && { structured: afterReasoning(held, thought) }),
    ...(wanted && use && { structuredField: fieldOf(use) }),
    keepTokens: [...(parser?.tokens ?? []), ...(reads?.tokens ?? [])],
    calledFinish: typeof choice === 'object' ? 'stop' : 'tool_calls',
  }
}

const withTools = (parser: ToolParser, tools: readonly ToolDefinition[]) => (source: TextSource, out: MessageWriter) =>
  parser.read(source, out, tools)

function* text(source: TextSource, out: MessageWriter): Reading {
  yield* source.until([], (more) => out.content(more))
}

function promptEnd(tokenizer: TokenReader, { promptIds, continues }: MessageRequest): string {
  return tokenizer.decode(promptIds.slice(continues ? -CONTINUED_TOKENS : -END_TOKENS), { skipSpecialTokens: false })
}

function fieldOf({ tools, choice }: ToolUse): string {
  return typeof choice === 'object' ? `tools.${tools.findIndex(({ name }) => name === choice.name)}.function.parameters` : 'tools'
}

/** Before anything is done for the request: throws as `messageReaderFor` would. */
export function checkCallable({ formats = {} }: Pick<Model, 'formats'>, use: ToolUse | undefined): void {
  if (use?.choice === 'auto') autoParser(formats)
}

function autoParser({ tools }: MessageFormats): ToolParser {
  if (tools) return TOOL_PARSERS[tools]
  throw new ApiError(
    'unsupported_parameter',
    '"auto" tool choice needs a format to read calls by, and the chat template shows none that is known: start the server with --tool-call-parser NAME, or set tool_choice to "required", a named function or "none"',
    'tool_choice',
  )
}
