/** Every error that a client can meet, in OpenAI's shape: `{"error": {message, type, param, code}}`. */
import type { FastifyError } from 'fastify'
import type { EngineErrorCode } from '../runtime/index.ts'

/** Stable codes with their status and type; docs/errors.md lists them (a test compares). */
export const CATALOGUE = {
  invalid_request: { status: 400, type: 'invalid_request_error' },
  invalid_json: { status: 400, type: 'invalid_request_error' },
  unknown_parameter: { status: 400, type: 'invalid_request_error' },
  unsupported_parameter: { status: 400, type: 'invalid_request_error' },
  context_length_exceeded: { status: 400, type: 'invalid_request_error' },
  previous_response_not_found: { status: 400, type: 'invalid_request_error' },
  websocket_connection_limit_reached: { status: 400, type: 'invalid_request_error' },
  adapter_refused: { status: 400, type: 'invalid_request_error' },
  tokenizer_failed: { status: 400, type: 'invalid_request_error' },
  chat_template_failed: { status: 400, type: 'invalid_request_error' },
  invalid_api_key: { status: 401, type: 'invalid_request_error' },
  not_allowed: { status: 403, type: 'permission_error' },
  host_not_allowed: { status: 403, type: 'permission_error' },
  model_not_found: { status: 404, type: 'not_found_error' },
  adapter_not_found: { status: 404, type: 'not_found_error' },
  adapter_version_not_found: { status: 404, type: 'not_found_error' },
  response_not_found: { status: 404, type: 'not_found_error' },
  route_not_found: { status: 404, type: 'not_found_error' },
  method_not_allowed: { status: 405, type: 'invalid_request_error' },
  request_timeout: { status: 408, type: 'invalid_request_error' },
  adapter_version_mismatch: { status: 412, type: 'invalid_request_error' },
  body_too_large: { status: 413, type: 'invalid_request_error' },
  unsupported_media_type: { status: 415, type: 'invalid_request_error' },
  expectation_failed: { status: 417, type: 'invalid_request_error' },
  headers_too_large: { status: 431, type: 'invalid_request_error' },
  too_many_requests: { status: 429, type: 'rate_limit_error' },
  internal_error: { status: 500, type: 'internal_error' },
  state_not_kept: { status: 500, type: 'internal_error' },
  hub_failed: { status: 502, type: 'service_unavailable_error' },
  text_process_lost: { status: 503, type: 'service_unavailable_error' },
  constraint_lost: { status: 503, type: 'service_unavailable_error' },
  engine_unavailable: { status: 503, type: 'service_unavailable_error' },
  server_loading: { status: 503, type: 'service_unavailable_error' },
  server_draining: { status: 503, type: 'service_unavailable_error' },
  pinned_adapters_missing: { status: 503, type: 'service_unavailable_error' },
} as const
export type ErrorCode = keyof typeof CATALOGUE

/** A limit that was reached: whose it is, the name of the setting or field that sets it, and how much it allows. */
export interface Limit {
  of: 'server' | 'key' | 'tenant' | 'adapter'
  name: string
  value: number
}

export interface ErrorBody {
  error: {
    message: string
    type: string
    param: string | null
    code: string
    current_digest?: string | null
    limit?: Limit
  }
}

export class ApiError extends Error {
  readonly code: ErrorCode
  /** The field of the body, or the header, that is wrong. */
  readonly param: string | null
  /** With a 429 or 503: seconds after which it makes sense to try again. */
  readonly retryAfter: number
  /** With too_many_requests: the limit that it is for, where there is one. */
  limit?: Limit
  private currentDigest?: string | null
  constructor(code: ErrorCode, message: string, param: string | null = null, retryAfter = 1) {
    super(message)
    this.name = 'ApiError'
    this.code = code
    this.param = param
    this.retryAfter = retryAfter
  }
  get status(): number {
    return CATALOGUE[this.code].status
  }
  /** With adapter_version_mismatch: what the name stands for now, in full; null where that is not known. */
  at(digest: string | undefined): this {
    this.currentDigest = digest ?? null
    return this
  }
  /** The same of another API's body, where the field `before` is called `param`. */
  about(param: string, before: string): ApiError {
    const error = new ApiError(this.code, this.message.replaceAll(before, param), param, this.retryAfter)
    return Object.assign(error, { ...this, param })
  }
  body(): ErrorBody {
    const { message, param, code, currentDigest, limit } = this
    const current = currentDigest === undefined ? {} : { current_digest: currentDigest }
    return { error: { message, type: CATALOGUE[code].type, param, code, ...current, ...(limit && { limit }) } }
  }
}

/** A 429 for a limit. `retryAfter`: seconds. */
export function limitReached(limit: Limit, message: string, retryAfter = 1): ApiError {
  const error = new ApiError('too_many_requests', message, null, retryAfter)
  error.limit = limit
  return error
}

/** A chat template that failed, with its own message. */
export class TemplateError extends Error {}

/** A change of an adapter that is served and will not be there at the next start. Its cause is the system's error. */
export class NotKept extends Error {}

/** What the engine refuses or fails, as the client is told; `param` 'prompt' stands for the field that held it. */
const OF_ENGINE: Partial<Record<EngineErrorCode, { code: ErrorCode; param: string | null }>> = {
  context_length_exceeded: { code: 'context_length_exceeded', param: 'prompt' },
  pool_too_small: { code: 'invalid_request', param: 'prompt' },
  too_late: { code: 'too_many_requests', param: null },
  empty_prompt: { code: 'invalid_request', param: 'prompt' },
  token_out_of_range: { code: 'invalid_request', param: 'prompt' },
  adapter_not_mixable: { code: 'invalid_request', param: 'x-lora-adapter' },
  adapter_without_ranks: { code: 'invalid_request', param: 'x-lora-adapter' },
  not_generative: { code: 'invalid_request', param: 'model' },
  unknown_adapter: { code: 'model_not_found', param: 'model' },
  constraint_lost: { code: 'constraint_lost', param: null },
  engine_closed: { code: 'engine_unavailable', param: null },
  engine_failed: { code: 'engine_unavailable', param: null },
}

export function engineError(code: string, message: string, promptField: string, retryAfter?: number): ApiError {
  const known = OF_ENGINE[code as EngineErrorCode]
  if (!known) return new ApiError('internal_error', `${code}: ${message}`)
  return new ApiError(known.code, message, known.param === 'prompt' ? promptField : known.param, retryAfter)
}

/** Anything thrown in a handler, as an ApiError. `bodyLimit`, in bytes, is told to who exceeds it. */
export function toApiError(error: unknown, bodyLimit: number): ApiError {
  if (error instanceof ApiError) return error
  if (error instanceof TemplateError) return new ApiError('chat_template_failed', error.message, 'messages')
  if (error instanceof NotKept)
    return new ApiError(
      'state_not_kept',
      'the change is made, but it will be lost when the server ends: the folder of --state-dir cannot be written, and the server log says why',
    )
  const known = error as FastifyError
  if (known.validation) return validationError(known)
  switch (known.code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE':
      return new ApiError('body_too_large', `the request body is larger than ${bodyLimit} bytes`)
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return new ApiError('unsupported_media_type', 'the content-type must be application/json', 'content-type')
    case 'FST_ERR_CTP_EMPTY_JSON_BODY':
    case 'FST_ERR_CTP_INVALID_JSON_BODY':
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new ApiError('invalid_json', `the body is not valid JSON: ${known.message}`)
  }
  if (known instanceof SyntaxError && known.statusCode === 400)
    return new ApiError('invalid_json', `the body is not valid JSON: ${known.message}`)
  if (known.statusCode && known.statusCode >= 400 && known.statusCode < 500) return new ApiError('invalid_request', known.message)
  return new ApiError('internal_error', 'an internal error occurred; the server log has the details')
}

type Complaint = NonNullable<FastifyError['validation']>[number]

/** Characters of a path: it holds names that the client chose, which may be as long as the body. */
const LONGEST_PATH = 256
const shortened = (path: string) => (path.length > LONGEST_PATH ? `${path.slice(0, LONGEST_PATH)}…` : path)

const pathOf = ({ instancePath }: Complaint) => shortened(instancePath).slice(1).replaceAll('/', '.')
const isType = ({ keyword }: Complaint) => keyword === 'type' || keyword === 'anyOf'

/**
 * Of Ajv's complaints the one that helps: a field of several types has one for each, so that 65 stop strings "must be string". The type that the client meant is
 * the one that found something else to say, or that got furthest into the value.
 */
function bestComplaint(all: Complaint[]): Complaint | undefined {
  const other = all.find((complaint) => !isType(complaint))
  if (other) return other
  const depth = (complaint: Complaint) =>
    shortened(complaint.instancePath)
      .split('/')
      .map((part) => Number(part) || 0)
  const further = (a: number[], b: number[]) => a.length - b.length || a.reduce((sum, part, i) => sum || part - b[i], 0)
  return all.reduce<Complaint | undefined>((best, one) => (!best || further(depth(one), depth(best)) > 0 ? one : best), undefined)
}

/** What a value of the wrong type could be: of a field that takes several types each has a complaint. Null, which stands for leaving the field out, is not named. */
function typesAt(all: Complaint[], { instancePath }: Complaint): string {
  const types = all
    .filter((complaint) => complaint.keyword === 'type' && complaint.instancePath === instancePath)
    .flatMap(({ params }) => [(params as { type: string | string[] }).type].flat())
  return [...new Set(types)].filter((type, _, { length }) => type !== 'null' || length === 1).join(' or ')
}

/** Characters of a client's key that an answer repeats. */
const MOST_SHOWN = 128

/** The field that a complaint is about, and what would be right. */
function validationError(error: FastifyError): ApiError {
  const all = error.validation ?? []
  const best = bestComplaint(all)
  const path = best ? pathOf(best) : ''
  const params = (best?.params ?? {}) as Record<string, unknown>
  if (best?.keyword === 'required') {
    const missing = path ? `${path}.${params.missingProperty}` : String(params.missingProperty)
    return new ApiError('invalid_request', `you must provide ${missing}`, missing)
  }
  if (best?.keyword === 'additionalProperties') {
    const key = String(params.additionalProperty).slice(0, MOST_SHOWN)
    const odd = path ? `${path}.${key}` : key
    return new ApiError('unknown_parameter', `Unrecognized request argument supplied: ${odd}`, odd)
  }
  const allowed = Array.isArray(params.allowedValues) ? `: ${params.allowedValues.map((v) => JSON.stringify(v)).join(', ')}` : ''
  const wrong = best?.keyword === 'type' ? `must be ${typesAt(all, best)}` : (best?.message ?? 'is invalid')
  return new ApiError('invalid_request', `${path || 'the body'} ${wrong}${allowed}`, path || null)
}
