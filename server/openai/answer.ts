/** What both routes do with a request: run it, and answer whole or as a stream. The routes say how a choice, a chunk and the envelope look. */
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { AdapterChoice } from '../adapter-choice.ts'
import { toApiError } from '../errors.ts'
import { JSON_TYPE, jsonInSlices } from '../slices.ts'
import type { Serving } from '../types.ts'
import { VERSION } from '../version.ts'
import { EventStream } from './event-stream.ts'
import { Generation, type GenerationRequest } from './generation.ts'
import { type Body, given } from './parameters.ts'
import type { Shape } from './shape.ts'
import { type Usage, usageOf } from './usage.ts'

/** Names the build to clients that compare answers. */
const FINGERPRINT = `lorikeet-${VERSION}`

export async function answer(
  serving: Serving,
  request: FastifyRequest,
  reply: FastifyReply,
  body: Body,
  adapter: AdapterChoice,
  generationRequest: GenerationRequest,
  promptTokens: number,
  shape: Shape,
): Promise<unknown> {
  // Rendering and tokenizing take their time; who left meanwhile is not served.
  if (reply.raw.destroyed) return reply.hijack()
  const envelope = {
    id: generationRequest.id,
    object: shape.object,
    created: Math.floor(Date.now() / 1000),
    model: adapter.model,
  }
  reply.headers(adapter.headers)
  const options = given<Record<string, boolean>>(body, 'stream_options', {})
  let stream: EventStream | undefined
  const started = new Set<number>()
  const generation: Generation = new Generation(serving, generationRequest, (index, piece) => {
    if (!given<boolean>(body, 'stream', false)) return shape.collect(index, piece)
    const first = !started.has(index)
    started.add(index)
    const running = options.continuous_usage_stats ? { usage: usageOf(generation.countsOf(index)) } : {}
    for (const choice of shape.chunks(index, piece, first))
      stream?.send({
        ...envelope,
        object: shape.chunkObject,
        system_fingerprint: FINGERPRINT,
        choices: [choice],
        ...(first ? shape.extra() : {}),
        ...running,
      })
  })
  generation.counts.promptTokens = promptTokens
  // 'close' also comes after a whole answer: then there is nothing left to abort.
  reply.raw.once('close', () => generation.abort())
  const running = generation.run()
  if (!given<boolean>(body, 'stream', false)) {
    await running
    log(request, reply, adapter, generation)
    if (reply.raw.destroyed) return reply.hijack()
    const usage: Usage = usageOf(generation.counts)
    const whole = { ...envelope, system_fingerprint: FINGERPRINT, choices: shape.choices(), usage, ...shape.extra() }
    return reply.type(JSON_TYPE).send(await jsonInSlices(whole))
  }
  stream = new EventStream(reply, adapter.headers, () => generation.abort())
  try {
    await running
    if (options.include_usage)
      stream.send({
        ...envelope,
        object: shape.chunkObject,
        system_fingerprint: FINGERPRINT,
        choices: [],
        usage: usageOf(generation.counts),
      })
  } catch (error) {
    request.log.warn({ err: error }, 'a stream failed')
    stream.error(toApiError(error, serving.limits.bodyLimit))
  }
  log(request, reply, adapter, generation)
  stream.done()
  return reply
}

function log(request: FastifyRequest, reply: FastifyReply, adapter: AdapterChoice, { counts }: Generation): void {
  request.log.info({ model: adapter.model, ...counts, ms: Math.round(reply.elapsedTime) }, 'generated')
}
