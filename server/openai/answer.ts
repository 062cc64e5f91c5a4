/** What both routes do with a request: run it, and answer whole or as a stream. The routes say how a choice, a chunk and the envelope look. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import { toApiError } from '../errors.ts'
import { jsonBody, openingOf, SlicedArray } from '../json.ts'
import { VERSION } from '../version.ts'
import { EventStream } from './event-stream.ts'
import { type Body, given } from './parameters.ts'
import type { Shape } from './shape.ts'
import { type Prepared, takeTurn } from './turn.ts'
import { type Usage, usageOf } from './usage.ts'

/** Names the build to clients that compare answers. */
const FINGERPRINT = `lorikeet-${VERSION}`

export async function answer(
  request: FastifyRequest,
  reply: FastifyReply,
  body: Body,
  prepared: Prepared,
  shape: Shape,
): Promise<unknown> {
  const { adapter, asked } = prepared
  const { serving } = adapter
  // Rendering and tokenizing take their time; who left meanwhile is not served.
  if (reply.raw.destroyed) return reply.hijack()
  const envelope = {
    id: asked.id,
    object: shape.object,
    created: Math.floor(Date.now() / 1000),
    model: adapter.model,
  }
  const options = given<Record<string, boolean>>(body, 'stream_options', {})
  const details = serving.limits.enablePromptTokensDetails
  const streamed = given<boolean>(body, 'stream', false)
  let stream: EventStream | undefined
  const open = () => (stream ??= new EventStream(reply, adapter.headers, () => generation.abort()))
  // What all chunks of a stream begin with: one is sent for every token.
  const opening = openingOf({ ...envelope, object: shape.chunkObject, system_fingerprint: FINGERPRINT })
  const { generation, terms, run } = await takeTurn(request, reply, body, prepared, (index, piece) => {
    if (!streamed) {
      shape.collect(index, piece)
      return shape.enough(index)
    }
    const choices = shape.chunks(index, piece)
    const usage = options.continuous_usage_stats && usageOf(generation.countsOf(index), details, shape.reasoningTokens(index))
    for (const choice of choices) {
      const chunk: object = piece.first ? { choices: [choice], ...shape.extra() } : { choices: [choice] }
      open().send(usage ? { ...chunk, usage } : chunk, opening)
    }
    return shape.enough(index)
  })
  reply.headers(adapter.headers)
  const running = run()
  if (!streamed) {
    await running
    if (reply.raw.destroyed) return reply.hijack()
    const usage: Usage = usageOf(generation.counts, details, shape.reasoningTokens())
    const choices = new SlicedArray(shape.choices())
    reply.type('application/json; charset=utf-8')
    return jsonBody({ ...envelope, system_fingerprint: FINGERPRINT, choices, usage, ...shape.extra() })
  }
  // Who may be refused for the time of its first token is told by the status: then the head waits for that token.
  if (terms.firstTokenMs === undefined) open()
  try {
    await running
    if (options.include_usage)
      open().send({ choices: [], usage: usageOf(generation.counts, details, shape.reasoningTokens()) }, opening)
  } catch (error) {
    if (!stream) throw error
    request.log.warn({ err: error }, 'a stream failed')
    stream.error(toApiError(error, serving.limits.bodyLimit))
  }
  if (!stream && reply.raw.destroyed) return reply.hijack()
  open().done()
  return reply
}
