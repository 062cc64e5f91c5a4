/** The Responses API's object of one response, and its items. */
import { randomBytes } from 'node:crypto'
import { jsonBody, SlicedArray } from '../json.ts'
import { type Body, given } from '../openai/parameters.ts'
import type { Usage } from '../openai/usage.ts'

/** What was said, thought, called or answered: of the input as it came, with an id; of the output as we write it. */
export type Item = { type: string; id: string } & Record<string, unknown>

export type Status = 'queued' | 'in_progress' | 'completed' | 'incomplete' | 'failed' | 'cancelled'

export interface ResponseObject {
  id: string
  object: 'response'
  created_at: number
  completed_at: number | null
  status: Status
  background: boolean
  error: { code: string; message: string } | null
  incomplete_details: { reason: 'max_output_tokens' } | null
  model: string
  output: Item[]
  usage: object | null
  previous_response_id: string | null
  [echoed: string]: unknown
}

export const newId = (prefix: string) => `${prefix}_${randomBytes(24).toString('hex')}`

/** Of a new response; `temperature` and `top_p` as they are used. */
export function newResponse(body: Body, model: string, used: { temperature: number; topP: number }): ResponseObject {
  const text = given<Record<string, unknown>>(body, 'text', {})
  const reasoning = given<Record<string, unknown>>(body, 'reasoning', {})
  return {
    id: newId('resp'),
    object: 'response',
    created_at: Math.floor(Date.now() / 1000),
    completed_at: null,
    status: 'in_progress',
    background: given<boolean>(body, 'background', false),
    error: null,
    incomplete_details: null,
    instructions: body.instructions ?? null,
    max_output_tokens: body.max_output_tokens ?? null,
    max_tool_calls: body.max_tool_calls ?? null,
    model,
    output: [],
    parallel_tool_calls: given<boolean>(body, 'parallel_tool_calls', true),
    previous_response_id: given<string | null>(body, 'previous_response_id', null),
    prompt_cache_key: body.prompt_cache_key ?? null,
    reasoning: { effort: reasoning.effort ?? null, summary: reasoning.summary ?? null },
    safety_identifier: body.safety_identifier ?? null,
    service_tier: 'default',
    store: given<boolean>(body, 'store', true),
    temperature: used.temperature,
    text: { format: text.format ?? { type: 'text' }, verbosity: text.verbosity ?? 'medium' },
    tool_choice: body.tool_choice ?? 'auto',
    tools: body.tools ?? [],
    top_logprobs: given(body, 'top_logprobs', 0),
    top_p: used.topP,
    truncation: given<string>(body, 'truncation', 'disabled'),
    usage: null,
    user: body.user ?? null,
    metadata: body.metadata ?? {},
  }
}

/** Tokens as the Responses API names them. */
export function responseUsage(usage: Usage): object {
  return {
    input_tokens: usage.prompt_tokens,
    input_tokens_details: { cached_tokens: usage.prompt_tokens_details?.cached_tokens ?? 0 },
    output_tokens: usage.completion_tokens,
    output_tokens_details: usage.completion_tokens_details,
    total_tokens: usage.total_tokens,
  }
}

/** Logprobs of an answer that are written at a time. */
const SLICE = 32

function* sliced<T>(list: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < list.length; at += SLICE) yield list.slice(at, at + SLICE)
}

/** A copy that can be written in pieces, once: many logprobs at once would keep the others waiting. */
export function writable(response: ResponseObject): ResponseObject {
  const output = response.output.map((item) => {
    if (item.type !== 'message') return item
    const content = (item.content as Record<string, unknown>[]).map((part) => {
      const { logprobs } = part
      return Array.isArray(logprobs) && logprobs.length > SLICE
        ? { ...part, logprobs: new SlicedArray(sliced(logprobs as object[])) }
        : part
    })
    return { ...item, content }
  })
  return { ...response, output }
}

export const responseBody = (response: ResponseObject) => jsonBody(writable(response))
