/** One WebSocket on /v1/responses: its turns, several at a time where they have a stream_id each, and what they leave for the next ones. */
import { randomUUID } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import type { Access } from '../access/access.ts'
import type { Caller } from '../access/caller.ts'
import type { CountOne } from '../access/gate.ts'
import { ADAPTER_HEADER } from '../adapter-choice.ts'
import { Lifetime } from '../client-left.ts'
import { ApiError, toApiError } from '../errors.ts'
import { bodyOf } from '../http.ts'
import { given } from '../openai/parameters.ts'
import { usageOf } from '../openai/usage.ts'
import { validate } from '../openai/validate.ts'
import type { Places } from '../places.ts'
import type { Readiness } from '../readiness.ts'
import type { RequestRecord } from '../records/record.ts'
import { ClientLeft } from '../tokenizer/process-pool.ts'
import { conversationOf, prepareResponse, type ResponseAsker, ResponseRun, type Responses, scopeOf } from './create.ts'
import { type Create, createOf, streamIdOf } from './create-event.ts'
import { newResponse, type ResponseObject } from './response.ts'
import type { ResponseSocket } from './response-socket.ts'
import { type ResponseEvent, ResponseWriter } from './writer.ts'

export interface SessionTools {
  responses: Responses
  access: Access
  places: Places
  countOne: CountOne
  readiness: Readiness
  /** Turns in progress at a time. */
  mostStreams: number
}

export class Session {
  private readonly socket: ResponseSocket
  private readonly request: FastifyRequest
  private readonly tools: SessionTools
  /** Where the responses of this connection are that are stored nowhere else. */
  private readonly scope = `connection ${randomUUID()}`
  /** Turns in progress by their stream; '' where none is named. */
  private readonly turns = new Map<string, Lifetime>()
  /** The newest response of each stream that is kept for this connection alone, oldest first. */
  private readonly newest = new Map<string, string>()
  private reading: Promise<void> = Promise.resolve()
  private unread = 0
  private closing = false

  constructor(socket: ResponseSocket, request: FastifyRequest, tools: SessionTools) {
    this.socket = socket
    this.request = request
    this.tools = tools
  }

  /** A message, read after those before it. While one is read no more are taken from the connection. */
  message(data: Buffer, binary: boolean): void {
    if (++this.unread === 1) this.socket.pause()
    this.reading = this.reading.then(async () => {
      await this.read(data, binary)
      if (--this.unread === 0) this.socket.resume()
    })
  }

  /** The connection is gone. */
  end(): void {
    for (const life of this.turns.values()) life.end()
    for (const id of this.newest.values()) this.tools.responses.store.delete(this.scope, id)
    this.newest.clear()
  }

  /** Nothing more is begun; the connection closes when what is in progress is over. */
  drain(): void {
    this.closing = true
    this.closeWhenIdle()
  }

  /** It has lasted as long as one may. */
  expire(): void {
    if (this.closing) return
    this.error(
      new ApiError(
        'websocket_connection_limit_reached',
        'Responses websocket connection limit reached (60 minutes). Create a new websocket connection to continue.',
      ),
      undefined,
    )
    this.drain()
  }

  private async read(data: Buffer, binary: boolean): Promise<void> {
    let stream: string | undefined
    try {
      if (binary) throw new ApiError('invalid_request', 'events are JSON texts')
      const event = await bodyOf(data)
      stream = streamIdOf(event)
      const create = createOf(event)
      const { responses } = this.tools
      validate(this.request, responses.schema, create.body)
      if (this.closing) throw new ApiError('engine_unavailable', 'the connection is closing; open a new one')
      const caller = this.caller()
      const life = this.claim(stream ?? '')
      // What is read next does not wait for it.
      this.turn(create, stream, caller, life).finally(() => this.free(stream ?? '', life))
    } catch (error) {
      this.error(error, stream)
    }
  }

  /** Who asks, as the keys are now. */
  private caller(): Caller {
    const { access } = this.tools
    const caller = access.callerOf(this.request)
    if (access.keys && access.isStranger(caller)) {
      this.drain()
      throw new ApiError('invalid_api_key', 'the API key that opened this connection is one of this server no more')
    }
    return caller
  }

  private claim(stream: string): Lifetime {
    const { mostStreams } = this.tools
    if (this.turns.has(stream))
      throw new ApiError(
        'invalid_request',
        `${stream === '' ? 'this connection' : 'this stream_id'} has a response in progress; wait for its end, or give the other one a stream_id of its own`,
        'stream_id',
      )
    if (this.turns.size >= mostStreams)
      throw new ApiError(
        'too_many_requests',
        `this connection has ${mostStreams} responses in progress, which is the most (--max-websocket-streams); try again when one is done`,
        'stream_id',
      )
    const life = new Lifetime()
    this.turns.set(stream, life)
    return life
  }

  private free(stream: string, life: Lifetime): void {
    life.end()
    this.turns.delete(stream)
    if (this.closing) this.closeWhenIdle()
  }

  private async turn(create: Create, stream: string | undefined, caller: Caller, life: Lifetime): Promise<void> {
    const { responses, places, countOne } = this.tools
    const { body } = create
    const { id, headers } = this.request
    const record = responses.all.records.begin({ id, method: 'WS', route: '/v1/responses', headers, socket: true }, life)
    let run: ResponseRun | undefined
    try {
      await countOne(this.request)
      life.raw.once('close', places.take(caller))
      const asker = this.asker(create, caller, record)
      const items = conversationOf(responses, body, [this.scope, scopeOf(asker)])
      const prepares = !create.generates
      const emit = (event: ResponseEvent) => this.socket.send(stream === undefined ? event : { ...event, stream_id: stream })
      const wanted = await prepareResponse(responses, asker, life, body, items, { streams: true, prepares }).catch((error) => {
        // Many templates want a user's message, which comes with the next event.
        if (prepares && error instanceof ApiError && error.code === 'chat_template_failed') return undefined
        throw error
      })
      let response: ResponseObject
      if (wanted) {
        run = await ResponseRun.take(wanted, asker, life, emit)
        run.submit()
        if (!run.refusable) run.begin()
        if (!(prepares ? await run.prepared() : await run.end())) return
        response = wanted.response
      } else response = prepareNothing(create, responses.all.model.name, emit)
      if (response.store) responses.store.put(scopeOf(asker), { response, items })
      else this.keep(stream ?? '', { response, items }, scopeOf(asker))
    } catch (error) {
      if (error instanceof ClientLeft) return
      record.fail(toApiError(error, responses.all.limits.bodyLimit))
      // What failed is not gone on with from here.
      if (typeof body.previous_response_id === 'string') responses.store.delete(this.scope, body.previous_response_id)
      if (run?.hasBegun) run.fail(error)
      else this.error(error, stream)
    }
  }

  /** In this connection's memory: the newest of each stream, of as many streams as may be in progress. */
  private keep(stream: string, stored: Parameters<Responses['store']['put']>[1], owner: string): void {
    const { store } = this.tools.responses
    this.forget(stream)
    const [oldest] = this.newest.keys()
    if (oldest !== undefined && this.newest.size >= this.tools.mostStreams) this.forget(oldest)
    this.newest.set(stream, stored.response.id)
    store.put(this.scope, stored, owner)
  }

  private forget(stream: string): void {
    const id = this.newest.get(stream)
    if (id !== undefined) this.tools.responses.store.delete(this.scope, id)
    this.newest.delete(stream)
  }

  private asker({ adapter }: Create, caller: Caller, record: RequestRecord): ResponseAsker {
    const { request } = this
    const headers = adapter === undefined ? request.headers : { ...request.headers, [ADAPTER_HEADER]: adapter }
    return { headers, caller, record, log: request.log, compileValidationSchema: request.compileValidationSchema.bind(request) }
  }

  private error(error: unknown, stream: string | undefined): void {
    const known = toApiError(error, this.tools.responses.all.limits.bodyLimit)
    if (known.status >= 500) this.request.log.error({ err: error }, 'a turn of a WebSocket failed')
    const { message, type, param, code } = known.body().error
    this.socket.send({
      type: 'error',
      status: known.status,
      error: { type, code, message, param },
      ...(stream !== undefined && { stream_id: stream }),
    })
  }

  private closeWhenIdle(): void {
    if (this.turns.size === 0) this.socket.close()
  }
}

/** What cannot be rendered yet is kept for what continues it. */
function prepareNothing({ body }: Create, base: string, emit: (event: ResponseEvent) => void): ResponseObject {
  const used = { temperature: given(body, 'temperature', 1), topP: given(body, 'top_p', 1) }
  const writer = new ResponseWriter(newResponse(body, given(body, 'model', base), used), emit)
  writer.start()
  writer.prepared(usageOf({ promptTokens: 0, completionTokens: 0, cachedTokens: 0 }, false))
  return writer.response
}
