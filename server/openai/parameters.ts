/** What both routes read of a body beside its sampling. */
import { isDeepStrictEqual } from 'node:util'
import { ApiError } from '../errors.ts'
import { nearest } from '../nearest.ts'
import type { Serving } from '../types.ts'
import { type BodySchema, INSTEAD, UNSERVED } from './schemas.ts'

/** A body as the schema lets it through. */
export type Body = Record<string, unknown>

/** Characters of a client's text that an answer repeats. */
const SHOWN = 128

export const shown = (text: string) => (text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text)

/** Refuses fields that nobody knows (with the nearest known ones) and known ones that are not served; `served`: those that this route serves all the same. */
export function checkFields(body: Body, schema: BodySchema, served: readonly string[] = []): void {
  for (const [key, value] of Object.entries(body)) {
    const harmless = Object.hasOwn(UNSERVED, key) && !served.includes(key) ? UNSERVED[key] : undefined
    if (harmless) {
      if (value === null || value === undefined || harmless.some((same) => isDeepStrictEqual(same, value))) continue
      const instead = Object.hasOwn(INSTEAD, key) ? `; send ${INSTEAD[key]}` : ''
      throw new ApiError('unsupported_parameter', `${key} is not supported by this server${instead}`, key)
    }
    if (Object.hasOwn(schema.properties, key)) continue
    const near = nearest(key, Object.keys(schema.properties), 1)
    const hint = near.length > 0 ? ` Did you mean ${near[0]}?` : ''
    throw new ApiError('unknown_parameter', `Unrecognized request argument supplied: ${shown(key)}.${hint}`, shown(key))
  }
  if (body.stream_options && !body.stream)
    throw new ApiError('invalid_request', 'stream_options needs stream to be true', 'stream_options')
}

/** Present and not null, else the fallback. */
export function given<T>(body: Body, key: string, fallback: T): T {
  return (body[key] ?? fallback) as T
}

function stopStrings(body: Body): string[] {
  const stop = body.stop ?? []
  return typeof stop === 'string' ? [stop] : (stop as string[])
}

/** How many tokens a prompt of this length may bring: what was asked for if it fits the context, the route's default cut to what fits otherwise. */
export function settleMaxTokens(
  asked: number | undefined,
  fallback: number,
  promptTokens: number,
  maxModelLen: number,
  param: string,
): number {
  const room = maxModelLen - promptTokens
  if (room < 1 && asked !== 0)
    throw new ApiError(
      'context_length_exceeded',
      `This model's maximum context length is ${maxModelLen} tokens. Your prompt holds ${promptTokens} tokens, which leaves no room for an answer.`,
      param,
    )
  if (asked !== undefined && asked > room)
    throw new ApiError(
      'context_length_exceeded',
      `This model's maximum context length is ${maxModelLen} tokens. However, you requested ${promptTokens + asked} tokens (${promptTokens} in the prompt, ${asked} in the completion).`,
      param,
    )
  return asked ?? Math.min(fallback, room)
}

/** Undefined: first come, first served. Another than 0 is refused unless the server was started for it (vLLM's rule), so that no client can put itself first. */
export function priorityOf(body: Body, scheduling: Serving['scheduling']): number | undefined {
  const priority = given<number>(body, 'priority', 0)
  if (priority !== 0 && scheduling !== 'priority')
    throw new ApiError(
      'invalid_request',
      `Got priority ${priority}, but priority scheduling is not enabled; leave it out, or start the server with --scheduling priority`,
      'priority',
    )
  return priority === 0 ? undefined : priority
}

/** What a request says of its text and its place in the queue, the same on both routes. Throws ApiError for a priority where there is none. */
export function textOptions(body: Body, scheduling: Serving['scheduling']) {
  return {
    stop: stopStrings(body),
    includeStop: given<boolean>(body, 'include_stop_str_in_output', false),
    skipSpecialTokens: given<boolean>(body, 'skip_special_tokens', true),
    cacheSalt: given<string | undefined>(body, 'cache_salt', undefined),
    priority: priorityOf(body, scheduling),
  }
}
