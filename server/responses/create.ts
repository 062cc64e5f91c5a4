/** Making a response, whatever it travels by: its conversation, its turn, its events, its end. */
import type { FastifyRequest } from 'fastify'
import { type AdapterChoice, chooseAdapter, leaseAdapters } from '../adapter-choice.ts'
import { type Lasting, Lifetime } from '../client-left.ts'
import { ApiError, toApiError } from '../errors.ts'
import type { ChatTurn, ChatTurns } from '../openai/chat.ts'
import type { ChoiceRequest } from '../openai/generation.ts'
import { chatLogprobs } from '../openai/logprobs.ts'
import { Reading } from '../openai/message/reading.ts'
import { type Body, checkFields, given, shown } from '../openai/parameters.ts'
import type { BodySchema } from '../openai/schemas.ts'
import { type Asker, type Turn, takeTurn } from '../openai/turn.ts'
import { type Usage, usageOf } from '../openai/usage.ts'
import { validate } from '../openai/validate.ts'
import type { Serving } from '../types.ts'
import { itemsOf } from './items.ts'
import { chatBodyOf, checkResponse, renamed, turnStarts, withoutOldest } from './request.ts'
import { type Item, newResponse, type ResponseObject } from './response.ts'
import { responsesSchema, sharedFields } from './schema.ts'
import { ResponseStore } from './store.ts'
import { type ResponseEvent, ResponseWriter } from './writer.ts'

/** Whoever asks for a response: a request, or a message of a connection. */
export type ResponseAsker = Asker & Pick<FastifyRequest, 'compileValidationSchema'>

export interface Responses {
  all: Serving
  turns: ChatTurns
  store: ResponseStore
  schema: BodySchema
  /** Fields that chat has by the same names. */
  shared: readonly string[]
}

export function responsesOf(all: Serving, turns: ChatTurns): Responses {
  const store = new ResponseStore(all.limits.responseStoreSize)
  all.metrics.conversations.responses = () => ({ count: store.size, bytes: store.held })
  return { all, turns, store, schema: responsesSchema(all), shared: Object.keys(sharedFields(all)) }
}

/** Of a caller's stored responses. */
export const scopeOf = ({ caller }: Pick<Asker, 'caller'>) => `tenant ${caller.tenant ?? ''}`

/** What is to be answered. */
export interface Wanted {
  turn: ChatTurn
  /** The body that the turn was made of. */
  chat: Body
  /** The whole conversation. */
  items: readonly Item[]
  response: ResponseObject
}

/** The conversation that a body brings. `scopes`: where the responses are that it may go on with. Throws ApiError. */
export function conversationOf({ store, schema }: Responses, body: Body, scopes: readonly string[]): Item[] {
  checkFields(checkResponse(body), schema)
  const found = <T>(look: (scope: string) => T | undefined) => {
    for (const scope of scopes) {
      const one = look(scope)
      if (one !== undefined) return one
    }
    return undefined
  }
  const added = itemsOf(body.input, (id) => found((scope) => store.item(scope, id)))
  const { previous_response_id: id } = body
  if (id === undefined || id === null) return added
  const previous = found((scope) => store.get(scope, id as string))
  if (!previous)
    throw new ApiError(
      'previous_response_not_found',
      `Previous response with id '${shown(id as string)}' not found: it was never stored, or has made room for others since; send the whole conversation`,
      'previous_response_id',
    )
  if (previous.cancel)
    throw new ApiError(
      'invalid_request',
      `the response ${shown(id as string)} is in progress still; go on with it when it is done`,
      'previous_response_id',
    )
  return [...previous.items, ...previous.response.output, ...added]
}

/** Prepares the turn of a conversation, without the oldest of it where that is allowed and needed. `prepares`: nothing is to be generated of it yet. Throws ApiError, which names this API's fields. */
export async function prepareResponse(
  responses: Responses,
  asker: ResponseAsker,
  life: Lasting,
  body: Body,
  items: readonly Item[],
  { streams = given<boolean>(body, 'stream', false), prepares = false }: { streams?: boolean; prepares?: boolean } = {},
): Promise<Wanted> {
  if (items.length === 0 && !body.instructions) throw new ApiError('invalid_request', 'you must provide input', 'input')
  const { all, turns, shared } = responses
  // Each attempt to fit the context listens for the end.
  const attempts = new Lifetime()
  if (life.raw.destroyed) attempts.end()
  else life.raw.once('close', () => attempts.end())
  try {
    const asking = { headers: asker.headers, caller: asker.caller, body }
    const choice: AdapterChoice = await chooseAdapter(all, asking, body.model as string | undefined, life)
    const leased = await leaseAdapters(all, choice, life)
    const attempt = async (left: number) => {
      const chat = chatBodyOf(body, shared, left === 0 ? items : withoutOldest(items, left), streams)
      // What is only prepared goes on with whatever comes next.
      if (prepares) chat.add_generation_prompt = false
      validate(asker, turns.schema, chat)
      return { chat, turn: await turns.prepare(asking, attempts, chat, leased) }
    }
    const { chat, turn } = body.truncation === 'auto' ? await fitting(attempt, turnStarts(items).length) : await attempt(0)
    const { temperature, topP } = turn.asked.choices[0].sampling
    const response = newResponse(body, turn.adapter.model, { temperature, topP })
    const choices = prepares ? turn.asked.choices.map(withoutTokens) : turn.asked.choices
    return { turn: { ...turn, asked: { ...turn.asked, id: response.id, choices } }, chat, items, response }
  } catch (error) {
    throw renamed(toApiOrLeft(error, all))
  }
}

const withoutTokens = (choice: ChoiceRequest): ChoiceRequest => ({
  ...choice,
  sampling: { ...choice.sampling, maxTokens: 0, minTokens: 0 },
})

/** What a route's error handler knows by itself stays what it is. */
function toApiOrLeft(error: unknown, { limits }: Serving): unknown {
  const known = toApiError(error, limits.bodyLimit)
  return known.code === 'internal_error' ? error : known
}

/** The first attempt that fits the context, leaving as few of the `turns` as that takes; each costs a rendering, so the count is halved in on. */
async function fitting<T>(attempt: (left: number) => Promise<T>, turns: number): Promise<T> {
  const tooLong = (error: unknown) => error instanceof ApiError && error.code === 'context_length_exceeded'
  let best: T
  try {
    return await attempt(0)
  } catch (error) {
    if (!tooLong(error) || turns < 2) throw error
    best = await attempt(turns - 1)
  }
  let low = 1
  let high = turns - 1
  while (low < high) {
    const middle = (low + high) >> 1
    try {
      best = await attempt(middle)
      high = middle
    } catch (error) {
      if (!tooLong(error)) throw error
      low = middle + 1
    }
  }
  return best
}

/** One response under way. */
export class ResponseRun {
  readonly writer: ResponseWriter
  private readonly reading: Reading
  private turn!: Turn
  private readonly details: boolean
  private readonly wanted: Wanted
  private running: Promise<void> | undefined
  private begun = false

  private constructor(wanted: Wanted, emit: (event: ResponseEvent) => void) {
    const { turn, chat, response } = wanted
    const { serving } = turn.adapter
    this.wanted = wanted
    this.details = serving.limits.enablePromptTokensDetails
    const logprobsOf = chat.logprobs ? (rows: Parameters<typeof chatLogprobs>[1]) => logprobList(serving, rows) : undefined
    this.writer = new ResponseWriter(response, emit, logprobsOf)
    this.reading = new Reading(turn.reader(), this.writer)
  }

  /** Counts it in until `life` is over. Rejects with ApiError where it is too much. */
  static async take(wanted: Wanted, asker: Asker, life: Lasting, emit: (event: ResponseEvent) => void): Promise<ResponseRun> {
    const run = new ResponseRun(wanted, emit)
    try {
      run.turn = await takeTurn(asker, life, wanted.chat, wanted.turn, (_choice, piece) => {
        run.begin()
        run.writer.progress()
        return run.reading.take(piece)
      })
    } catch (error) {
      throw renamed(error)
    }
    return run
  }

  /** Whether it may be refused for the time of its first token: then nothing is told before that. */
  get refusable(): boolean {
    return this.turn.terms.firstTokenMs !== undefined
  }

  get usage(): Usage {
    return this.reading.usage(usageOf(this.turn.generation.counts, this.details))
  }

  /** Tells the first events, once. */
  begin(): void {
    if (this.begun) return
    this.begun = true
    this.writer.start()
  }

  get hasBegun(): boolean {
    return this.begun
  }

  /** Hands it to the engine. Throws ApiError for a quota that is used up, and what can never run. */
  submit(): void {
    try {
      this.running = this.turn.run()
      // Whoever waits is told; until then nobody may be.
      this.running.catch(() => {})
    } catch (error) {
      throw renamed(error)
    }
  }

  /** Resolves when it is over: false if nobody waited for its end. Rejects with an ApiError. */
  async end(): Promise<boolean> {
    try {
      await this.running
    } catch (error) {
      throw renamed(error)
    }
    const { ending } = this.reading
    if (!ending) return false
    this.begin()
    this.writer.end(ending, this.usage)
    return true
  }

  /** Resolves when a prompt is in the cache that is only prepared; false if nobody waited for that. Rejects with an ApiError. */
  async prepared(): Promise<boolean> {
    try {
      await this.running
    } catch (error) {
      throw renamed(error)
    }
    if (!this.reading.ending) return false
    this.begin()
    this.writer.prepared(this.usage)
    return true
  }

  /** Tells that it failed. */
  fail(error: unknown): void {
    const { limits } = this.wanted.turn.adapter.serving
    const { code, message } = toApiError(error, limits.bodyLimit)
    this.begin()
    this.writer.fail(code === 'internal_error' || code === 'engine_unavailable' ? 'server_error' : code, message, this.usage)
  }
}

/** Rows that are written at a time. */
const ROWS = 32

function logprobList({ tokenizer }: Serving, rows: Parameters<typeof chatLogprobs>[1]): object[] {
  const list: object[] = []
  for (let from = rows.from; from < rows.to; from += ROWS) {
    const part = { ...rows, from, to: Math.min(rows.to, from + ROWS) }
    for (const one of chatLogprobs(tokenizer, part).content as object[]) list.push(one)
  }
  return list
}
