/** What a client says over a WebSocket: `response.create`, the body of an HTTP create with a few fields of its own. */
import { ApiError } from '../errors.ts'
import { type Body, shown } from '../openai/parameters.ts'

export interface Create {
  /** Of an HTTP create. */
  body: Body
  /** False: the conversation is prepared, and nothing said yet. */
  generates: boolean
  /** As x-lora-adapter would hold it. */
  adapter: string | undefined
}

/** Characters of a stream's name. */
const LONGEST_STREAM = 128

const invalid = (message: string, param: string) => new ApiError('invalid_request', message, param)

/** The stream of an event that may be wrong otherwise; undefined: none is named. Throws ApiError. */
export function streamIdOf(event: unknown): string | undefined {
  if (typeof event !== 'object' || event === null || Array.isArray(event))
    throw new ApiError('invalid_request', 'an event must be an object')
  const { stream_id: id } = event as Body
  if (id === undefined || id === null) return undefined
  if (typeof id === 'string' && id !== '' && id.length <= LONGEST_STREAM) return id
  throw invalid(`stream_id must be a string of 1 to ${LONGEST_STREAM} characters`, 'stream_id')
}

/** `event`: an object. Throws ApiError. */
export function createOf(event: unknown): Create {
  const { type, stream_id: _stream, event_id: _event, generate, lora_adapter: adapter, ...rest } = event as Body
  if (type !== 'response.create')
    throw invalid(
      type === undefined ? 'you must provide type' : `type must be response.create, not ${shown(String(type))}`,
      'type',
    )
  if (generate !== undefined && generate !== null && typeof generate !== 'boolean')
    throw invalid('generate must be boolean', 'generate')
  if (adapter !== undefined && adapter !== null && (typeof adapter !== 'string' || adapter === ''))
    throw invalid('lora_adapter must be a string like the header x-lora-adapter', 'lora_adapter')
  // Every response here is told by its events.
  const { stream: _streams, stream_options: _options, background, ...body } = rest
  if (background) throw invalid('background is for HTTP; leave it out here', 'background')
  return { body, generates: generate !== false, adapter: (adapter as string | null | undefined) ?? undefined }
}
