/** POST /v1/responses, and looking at what it stored. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { Lifetime } from '../client-left.ts'
import { ApiError } from '../errors.ts'
import { EventStream } from '../openai/event-stream.ts'
import { type Body, given, shown } from '../openai/parameters.ts'
import { COMPUTED } from '../openapi/describe.ts'
import type { Places } from '../places.ts'
import { DELETED_ANSWER, ITEMS_ANSWER, RESPONSE_ANSWER, RESPONSE_LINKS, STORED_ANSWER } from './answer-schema.ts'
import { conversationOf, prepareResponse, ResponseRun, type Responses, scopeOf, type Wanted } from './create.ts'
import { SOMETHING } from './documented.ts'
import { EventLog } from './event-log.ts'
import { type Item, responseBody } from './response.ts'
import type { Stored } from './store.ts'
import type { ResponseEvent } from './writer.ts'

const tags = ['responses']

export function responseRoutes(app: FastifyInstance, responses: Responses, places: Places): void {
  const { schema } = responses
  app.post<{ Body: Body }>('/v1/responses', {
    schema: {
      body: schema,
      tags,
      summary: 'Answer with items; whole, as events, or in the background',
      description: 'The same path takes WebSockets, whose events are those of the stream: docs/responses.md.',
      api: {
        id: 'createResponse',
        body: { ...schema, anyOf: SOMETHING },
        answer: RESPONSE_ANSWER,
        ...COMPUTED,
        refusals: [...COMPUTED.refusals, 'previous_response_not_found'],
        links: RESPONSE_LINKS,
      },
    },
    handler: async (request, reply) => {
      const { body } = request
      const items = conversationOf(responses, body, [scopeOf(request)])
      if (body.background) return inBackground(responses, places, request, reply, items)
      const wanted = await prepareResponse(responses, request, reply, body, items)
      // Rendering and tokenizing take their time; who left meanwhile is not served.
      if (reply.raw.destroyed) return reply.hijack()
      reply.headers(wanted.turn.adapter.headers)
      return given<boolean>(body, 'stream', false)
        ? streamed(responses, request, reply, wanted)
        : whole(responses, request, reply, wanted)
    },
  })
}

async function whole(responses: Responses, request: FastifyRequest, reply: FastifyReply, wanted: Wanted): Promise<unknown> {
  const run = await ResponseRun.take(wanted, request, reply, () => {})
  run.submit()
  const ended = await run.end()
  if (!ended || reply.raw.destroyed) return reply.hijack()
  keep(responses, request, wanted)
  return send(reply, wanted)
}

async function streamed(responses: Responses, request: FastifyRequest, reply: FastifyReply, wanted: Wanted): Promise<unknown> {
  const { emit, stream } = eventsTo(reply, wanted)
  const run = await ResponseRun.take(wanted, request, reply, emit)
  run.submit()
  if (!run.refusable) run.begin()
  try {
    if (await run.end()) keep(responses, request, wanted)
  } catch (error) {
    if (!run.hasBegun) throw error
    request.log.warn({ err: error }, 'a stream failed')
    run.fail(error)
  }
  if (!run.hasBegun) return reply.hijack()
  stream().end()
  return reply
}

/** Events as server-sent ones. The head goes with the first; a client that does not read is cut, and the reply's close ends what it asked for. */
function eventsTo(reply: FastifyReply, wanted: Wanted) {
  let opened: EventStream | undefined
  const stream = () => (opened ??= new EventStream(reply, wanted.turn.adapter.headers, () => {}))
  return { stream, emit: (event: ResponseEvent) => stream().sendNamed(event.type, event) }
}

function keep({ store }: Responses, request: FastifyRequest, { response, items }: Wanted): void {
  if (response.store) store.put(scopeOf(request), { response, items })
}

function send(reply: FastifyReply, { response }: Pick<Stored, 'response'>): Promise<unknown> {
  reply.type('application/json; charset=utf-8')
  return responseBody(response)
}

/** Answers at once; the response has a place of its own among what is in flight, and goes on when the client leaves. */
async function inBackground(
  responses: Responses,
  places: Places,
  request: FastifyRequest<{ Body: Body }>,
  reply: FastifyReply,
  items: Item[],
): Promise<unknown> {
  const { body } = request
  const { store } = responses
  const scope = scopeOf(request)
  const life = new Lifetime()
  life.raw.once('close', places.take(request.caller))
  if (request.record) responses.all.records.endsWith(request.record, life)
  const streams = given<boolean>(body, 'stream', false)
  try {
    const wanted = await prepareResponse(responses, request, life, body, items)
    const { response } = wanted
    response.status = 'queued'
    const { headers } = wanted.turn.adapter
    reply.headers(headers)
    const events = streams ? new EventLog((bytes) => store.grow(scope, response.id, bytes)) : undefined
    const run = await ResponseRun.take(wanted, request, life, (event) => events?.add(event))
    run.submit()
    store.put(scope, { response, items, events, cancel: () => life.end() })
    const first = streams ? undefined : await responseBody(response)
    if (streams) run.begin()
    const over = async () => {
      try {
        if (!(await run.end())) run.writer.cancel(run.usage)
      } catch (error) {
        request.log.warn({ err: error }, 'a response in the background failed')
        run.fail(error)
      }
      life.end()
      // It is there no more where it was deleted, or has made room, meanwhile.
      events?.close()
      if (store.delete(scope, response.id)) store.put(scope, { response, items, events })
    }
    over().catch((error: Error) => request.log.error({ err: error }, 'a response in the background was not kept'))
    if (events) return told(reply, headers, events, 0)
    reply.type('application/json; charset=utf-8')
    return first
  } catch (error) {
    life.end()
    throw error
  }
}

/** Streams what has been told from event `first` on, then what is to come. */
async function told(reply: FastifyReply, headers: Record<string, string>, events: EventLog, first: number): Promise<unknown> {
  const stream = new EventStream(reply, headers, () => {})
  for await (const { type, json } of events.from(first)) {
    if (reply.raw.destroyed) break
    await stream.sendTold(type, json)
  }
  stream.end()
  return reply
}

const idParams = { type: 'object', required: ['id'], properties: { id: { type: 'string', maxLength: 256 } } }

const looked = {
  type: 'object',
  properties: {
    stream: {
      type: 'string',
      enum: ['true', 'false'],
      description: 'Its events, from the first on; of one that was made with `background` and `stream`',
    },
    starting_after: {
      type: 'string',
      pattern: '^[0-9]{1,9}$',
      description: 'Events after this sequence number alone; needs stream=true',
    },
  },
}

function eventsOf({ events }: Stored): EventLog {
  if (events) return events
  throw new ApiError(
    'invalid_request',
    'only a response that was created with background and stream can be streamed again; ask for it without stream',
    'stream',
  )
}

const refusals = ['response_not_found'] as const

interface ById {
  Params: { id: string }
  Querystring: Record<string, string | string[] | undefined>
}

/** Looking at stored responses, which costs no place. */
export function storedResponseRoutes(app: FastifyInstance, { store }: Responses): void {
  const find = (request: FastifyRequest<ById>): Stored => {
    const { id } = request.params
    const stored = store.get(scopeOf(request), id)
    if (stored) return stored
    throw new ApiError('response_not_found', `Response with id '${shown(id)}' not found.`, 'id')
  }
  app.get<ById>(
    '/v1/responses/:id',
    {
      schema: {
        params: idParams,
        querystring: looked,
        tags,
        summary: 'A stored response, as it stands, or its events',
        api: { id: 'getResponse', answer: RESPONSE_ANSWER, refusals },
      },
    },
    async (request, reply) => {
      const { stream, starting_after: after } = request.query
      const stored = find(request)
      if (stream === 'true') return told(reply, {}, eventsOf(stored), after === undefined ? 0 : Number(after) + 1)
      if (after === undefined) return send(reply, stored)
      throw new ApiError('invalid_request', 'starting_after is for streams: it needs stream=true', 'starting_after')
    },
  )
  app.delete<ById>(
    '/v1/responses/:id',
    {
      schema: {
        params: idParams,
        tags,
        summary: 'Forget a stored response; one that is in progress is ended',
        api: { id: 'deleteResponse', answer: DELETED_ANSWER, refusals },
      },
    },
    async (request) => {
      const stored = find(request)
      store.delete(scopeOf(request), stored.response.id)
      stored.cancel?.()
      return { id: stored.response.id, object: 'response', deleted: true }
    },
  )
  app.post<ById>(
    '/v1/responses/:id/cancel',
    {
      schema: {
        params: idParams,
        tags,
        summary: 'End a response in the background',
        api: { id: 'cancelResponse', answer: STORED_ANSWER, refusals },
      },
    },
    async (request, reply) => {
      const stored = find(request)
      if (!stored.response.background)
        throw new ApiError('invalid_request', 'only responses in the background (`background`: true) can be cancelled', 'id')
      if (stored.cancel) {
        stored.cancel()
        stored.response.status = 'cancelled'
      }
      return send(reply, stored)
    },
  )
  const listed = {
    type: 'object',
    properties: {
      limit: { type: 'string', pattern: '^([1-9]|[1-9][0-9]|100)$', description: '1 to 100; 20 if absent' },
      order: { type: 'string', enum: ['asc', 'desc'] },
      after: { type: 'string' },
    },
  }
  app.get<ById>(
    '/v1/responses/:id/input_items',
    {
      schema: {
        params: idParams,
        querystring: listed,
        tags,
        summary: 'What a stored response answered',
        api: { id: 'listInputItems', answer: ITEMS_ANSWER, refusals },
      },
    },
    async (request) => {
      const { limit = '20', order = 'desc', after } = request.query
      const all = order === 'asc' ? [...find(request).items] : [...find(request).items].reverse()
      const from = after === undefined ? 0 : all.findIndex(({ id }) => id === after) + 1
      const data = all.slice(from, from + Number(limit))
      return {
        object: 'list',
        data,
        first_id: data[0]?.id ?? null,
        last_id: data.at(-1)?.id ?? null,
        has_more: from + data.length < all.length,
      }
    },
  )
}
