/** How the messages of one request are read: by the model's formats, the request's tools, and where its prompt ends. Any API may ask. */
import { randomBytes } from 'node:crypto'
import { ApiError } from '../../errors.ts'
import type { Constraint } from '../../structured/constraint.ts'
import type { TokenIds, TokenReader } from '../../types.ts'
import type { MessageReader } from './delta.ts'
import { constraintOf, readEnforced } from './enforced.ts'
import type { MessageFormats, ReasoningFormat } from './formats.ts'
import { FormatReader } from './message-reader.ts'
import { MessageWriter } from './message-writer.ts'
import { REASONING_PARSERS } from './reasoning/index.ts'
import type { Reading, TextSource } from './text-source.ts'
import { TOOL_PARSERS, type ToolParser } from './tool-parsers/index.ts'
import type { ToolUse } from './tool-use.ts'

/** What of a Serving decides it. */
interface Model {
  formats?: MessageFormats
  tokenizer: TokenReader
}

export interface MessageRequest {
  /** Absent: no tools. */
  use?: ToolUse
  /** What else the answer must be (response_format and its like). It holds from the first token on: then there is neither reasoning nor a call to be read, but for tags that may stand around either. */
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
  /** What tool_choice wants the answer to be. */
  structured?: Constraint
  /** The field that says so. */
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
  const structured = use && choice !== 'none' ? constraintOf(use) : undefined
  const held = request.structured !== undefined && request.structured.kind !== 'structural_tag'
  const parser = choice === 'auto' && !held ? autoParser(formats) : undefined
  const reasoning = structured || held ? undefined : formats.reasoning
  if (!parser && !structured && !reasoning) return undefined
  const spelling = (token: number) => tokenizer.token(token).text
  const parse = structured ? readEnforced(choice) : reading(model, request, parser, reasoning)
  const options = {
    callId: parser?.callId ?? (formats.tools && TOOL_PARSERS[formats.tools].callId) ?? callId,
    mostCalls: use?.parallel === false ? 1 : Number.POSITIVE_INFINITY,
    // What a grammar enforced and max_tokens cut is a call that was cut.
    whole: request.whole && !structured,
    hideReasoning: !request.includeReasoning,
  }
  return {
    reader: () => new FormatReader(new MessageWriter(options), spelling, parse),
    ...(structured && { structured, structuredField: use && fieldOf(use) }),
    keepTokens: [...(parser?.tokens ?? []), ...(reasoning ? REASONING_PARSERS[reasoning].tokens : [])],
    calledFinish: typeof choice === 'object' ? 'stop' : 'tool_calls',
  }
}

function fieldOf({ tools, choice }: ToolUse): string {
  return typeof choice === 'object' ? `tools.${tools.findIndex(({ name }) => name === choice.name)}.function.parameters` : 'tools'
}

function autoParser({ tools }: MessageFormats): ToolParser {
  if (tools) return TOOL_PARSERS[tools]
  throw new ApiError(
    'unsupported_parameter',
    '"auto" tool choice needs a format to read calls by, and the chat template shows none that is known: start the server with --tool-call-parser NAME, or set tool_choice to "required", a named function or "none"',
    'tool_choice',
  )
}

/** First what is reasoned, then what is said and called. */
function reading(
  { tokenizer }: Model,
  { use, promptIds, continues }: MessageRequest,
  parser: ToolParser | undefined,
  reasoning: ReasoningFormat | undefined,
): (source: TextSource, out: MessageWriter) => Reading {
  const tools = use?.tools ?? []
  // Harmony's calls and reasoning are read by one parser.
  const reasoner = reasoning && parser !== TOOL_PARSERS.openai ? REASONING_PARSERS[reasoning] : undefined
  const endIds = promptIds.slice(continues ? -CONTINUED_TOKENS : -END_TOKENS)
  const begun = reasoner?.begunBy(tokenizer.decode(endIds, { skipSpecialTokens: false }), continues)
  return function* (source, out) {
    if (reasoner) yield* reasoner.read(source, out, begun)
    if (parser) yield* parser.read(source, out, tools)
    else yield* source.until([], (text) => out.content(text))
  }
}
