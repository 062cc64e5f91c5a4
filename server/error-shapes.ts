/** Errors as the client of a path reads them: OpenAI's shape, but where another API is spoken. */
import type { ApiError, ErrorBody } from './errors.ts'

export interface AnthropicError {
  type: 'error'
  error: { type: string; message: string }
}

/** Text Generation Inference's, and LoRAX's. */
export interface TgiError {
  error: string
  error_type: string
}

const ANTHROPIC_TYPES: Record<number, string> = {
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  503: 'overloaded_error',
}

export function anthropicError({ status, message }: ApiError): AnthropicError {
  const type = ANTHROPIC_TYPES[status] ?? (status < 500 ? 'invalid_request_error' : 'api_error')
  return { type: 'error', error: { type, message } }
}

const TGI_TYPES: Record<number, string> = { 401: 'authentication', 429: 'overloaded', 503: 'overloaded' }

export function tgiError({ status, message }: ApiError): TgiError {
  return { error: message, error_type: TGI_TYPES[status] ?? (status < 500 ? 'validation' : 'generation') }
}

const ANTHROPIC_PATH = /^\/v1\/messages(\/|\?|$)/
const TGI_PATH = /^\/generate(_stream)?(\/|\?|$)/

/** Whose shape errors have on a path. `url`: of the request, as far as it is known. */
export function shapeOf(url: string | undefined): 'openai' | 'anthropic' | 'tgi' {
  if (url !== undefined && ANTHROPIC_PATH.test(url)) return 'anthropic'
  if (url !== undefined && TGI_PATH.test(url)) return 'tgi'
  return 'openai'
}

export function errorBody(error: ApiError, url: string | undefined): ErrorBody | AnthropicError | TgiError {
  switch (shapeOf(url)) {
    case 'anthropic':
      return anthropicError(error)
    case 'tgi':
      return tgiError(error)
    case 'openai':
      return error.body()
  }
}
