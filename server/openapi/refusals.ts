/** The errors of an operation as responses of the API document, from the table of errors. */
import type { Access } from '../access/access.ts'
import { anthropicError, shapeOf, tgiError } from '../error-shapes.ts'
import { ApiError, CATALOGUE, type ErrorCode } from '../errors.ts'
import { about, count, named, object, oneOf, orNull, refTo, type Schema, text } from './describe.ts'

/** What of the server's access decides who is refused. */
export type AccessFacts = Pick<Access, 'keys' | 'knowsHost' | 'rateLimit'>

/** What of a route decides it. */
export interface RouteFacts {
  path: string
  /** It needs no key. */
  open: boolean
  /** Requests may bring one, asked for or not. */
  hasBody: boolean
  refusals: readonly ErrorCode[]
}

/** Of requests that no route has seen yet. */
const EVERYWHERE: ErrorCode[] = [
  'invalid_request',
  'request_timeout',
  'expectation_failed',
  'headers_too_large',
  'internal_error',
]
const OF_BODIES: ErrorCode[] = [
  ...(['invalid_json', 'unknown_parameter', 'unsupported_parameter', 'body_too_large', 'unsupported_media_type'] as const),
]

const LIMIT = object({ of: oneOf('server', 'key', 'tenant', 'adapter'), name: text, value: count })

/** The three shapes, whatever the status. */
export const ERROR = named(
  'Error',
  object({
    error: object({
      message: about('For people.', text),
      type: text,
      param: about('The field or header that is wrong, where it is one.', orNull(text)),
      code: about('Stable; docs/errors.md lists them.', text),
      'current_digest?': about('With 412: what the name stands for now.', orNull(text)),
      'limit?': about('With 429: the limit that it is for, where there is one.', LIMIT),
    }),
  }),
)
export const ANTHROPIC_ERROR = named(
  'AnthropicError',
  object({ type: { const: 'error' }, error: object({ type: text, message: text }) }),
)
export const TGI_ERROR = named('TgiError', object({ error: text, error_type: text }))

/** The responses of an operation by status. */
export function refusalsOf({ path, open, hasBody, refusals }: RouteFacts, access: AccessFacts): Record<string, { $ref: string }> {
  const codes = new Set<ErrorCode>([...EVERYWHERE, ...refusals, ...(hasBody ? OF_BODIES : [])])
  if (access.knowsHost) codes.add('host_not_allowed')
  if (access.keys && !open) codes.add('invalid_api_key')
  if (access.rateLimit !== undefined && !open) codes.add('too_many_requests')
  const statuses = [...new Set([...codes].map((code) => CATALOGUE[code].status))].sort()
  return Object.fromEntries(
    statuses.map((status) => [status, { $ref: `#/components/responses/${componentOf(shapeOf(path), status)}` }]),
  )
}

type Shape = ReturnType<typeof shapeOf>

const componentOf = (shape: Shape, status: number) => `${{ openai: '', anthropic: 'Anthropic', tgi: 'Tgi' }[shape]}Error${status}`

/** Every response that `refusalsOf` can name. */
export function refusalResponses(): Record<string, Schema> {
  const responses: Record<string, Schema> = {}
  const statuses = new Set(Object.values(CATALOGUE).map(({ status }) => status))
  for (const status of statuses)
    for (const shape of ['openai', 'anthropic', 'tgi'] as const) responses[componentOf(shape, status)] = responseOf(shape, status)
  return responses
}

function responseOf(shape: Shape, status: number): Schema {
  const codes = (Object.keys(CATALOGUE) as ErrorCode[]).filter((code) => CATALOGUE[code].status === status)
  return {
    description: codes.map((code) => `\`${code}\``).join(', '),
    headers: {
      'x-request-id': { $ref: '#/components/headers/x-request-id' },
      ...(isTemporary(status) && {
        'retry-after': { required: true, description: 'Seconds after which it makes sense to try again', schema: count },
      }),
      ...(status === 401 && { 'www-authenticate': { description: 'How keys are brought', schema: text } }),
    },
    content: { 'application/json': { schema: schemaOf(shape, codes) } },
  }
}

/** Another try may succeed, and the answer says when. */
const isTemporary = (status: number) => status === 429 || status === 503

/** The shape, with what these codes make of it. */
function schemaOf(shape: Shape, codes: readonly ErrorCode[]): Schema {
  const errors = codes.map((code) => new ApiError(code, ''))
  const said = (values: string[]) => oneOf(...new Set(values))
  switch (shape) {
    case 'openai': {
      const types = said(errors.map((error) => error.body().error.type))
      return { ...refTo(ERROR), properties: { error: { properties: { type: types, code: oneOf(...codes) } } } }
    }
    case 'anthropic':
      return {
        ...refTo(ANTHROPIC_ERROR),
        properties: { error: { properties: { type: said(errors.map((error) => anthropicError(error).error.type)) } } },
      }
    case 'tgi':
      return { ...refTo(TGI_ERROR), properties: { error_type: said(errors.map((error) => tgiError(error).error_type)) } }
  }
}
