/** POST /generate and /generate_stream, as Text Generation Inference and LoRAX have them. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { chooseAdapter, leaseAdapters } from '../adapter-choice.ts'
import { tgiError } from '../error-shapes.ts'
import { ApiError, toApiError } from '../errors.ts'
import { jsonBody, SlicedArray } from '../json.ts'
import type { CompletionTurn, CompletionTurns } from '../openai/completions.ts'
import { EventStream } from '../openai/event-stream.ts'
import type { Generation } from '../openai/generation.ts'
import { type Body, checkFields, given } from '../openai/parameters.ts'
import { takeTurn } from '../openai/turn.ts'
import { validate } from '../openai/validate.ts'
import { COMPUTED, type Operation } from '../openapi/describe.ts'
import type { Serving } from '../types.ts'
import { Told } from './answer.ts'
import { ADAPTER_ID_HEADER, GENERATE_ANSWER, STREAM_ANSWER, TIME_HEADERS } from './answer-schema.ts'
import { adaptersOf, checkParameters, completionBodyOf, DEFAULT_NEW_TOKENS, parametersOf, renamed, samples } from './request.ts'
import { generateSchema } from './schema.ts'

const tags = ['generation']

export function generateRoutes(app: FastifyInstance, all: Serving, turns: CompletionTurns): void {
  const route = (path: string, summary: string, api: Operation, answer: typeof whole) =>
    app.post<{ Body: Body }>(path, {
      schema: { body: generateSchema, tags, summary, api },
      handler: async (request, reply) => {
        try {
          const { body } = request
          checkFields(body, generateSchema)
          checkParameters(body)
          const completion = completionBodyOf(body)
          validate(request, turns.schema, completion)
          const choice = await chooseAdapter(all, request, adaptersOf(body), reply)
          const leased = await leaseAdapters(all, choice, reply)
          const turn = await turns.prepare(request, reply, completion, leased, DEFAULT_NEW_TOKENS)
          // Tokenizing takes its time; who left meanwhile is not served.
          if (reply.raw.destroyed) return reply.hijack()
          reply.headers(turn.adapter.headers)
          const { uses } = turn.adapter
          if (uses.length > 0) reply.header('x-adapter-id', encodeURIComponent(uses.map(({ name }) => name).join(',')))
          return await answer(request, reply, completion, turn)
        } catch (error) {
          const known = toApiError(error, all.limits.bodyLimit)
          throw renamed(known.code === 'internal_error' ? error : known)
        }
      },
    })
  const ofStream = { ...COMPUTED.answerHeaders, ...ADAPTER_ID_HEADER }
  const generate = { ...COMPUTED, id: 'generate', answer: GENERATE_ANSWER, answerHeaders: { ...ofStream, ...TIME_HEADERS } }
  const stream = { ...COMPUTED, id: 'generateStream', answer: STREAM_ANSWER, answerHeaders: ofStream }
  route('/generate', "Complete a prompt in TGI's and LoRAX's shape", generate, whole)
  route('/generate_stream', 'The same, token by token as server-sent events', stream, streamed)
}

const toldOf = (body: Body, { adapter, asked, prompts }: CompletionTurn) => {
  const parameters = parametersOf(body)
  const wanted = {
    top: given(parameters, 'top_n_tokens', 0) > 0,
    alternatives: given(parameters, 'return_k_alternatives', 0) > 0,
  }
  return asked.choices.map(() => new Told(adapter.serving.tokenizer, prompts[0].ids[0], wanted))
}

async function whole(
  request: FastifyRequest<{ Body: Body }>,
  reply: FastifyReply,
  completion: Body,
  turn: CompletionTurn,
): Promise<unknown> {
  const { body } = request
  const told = toldOf(body, turn)
  const since = performance.now()
  const { generation, run } = await takeTurn(request, reply, completion, turn, (choice, piece) => {
    told[choice].take(piece)
    return false
  })
  await run()
  if (reply.raw.destroyed) return reply.hijack()
  const best = told.reduce((one, other, i) => (other.meanLogprob > told[one].meanLogprob ? i : one), 0)
  reply.headers(timesOf(generation, best, told[best].tokens.length, performance.now() - since))
  const parameters = parametersOf(body)
  const sequence = (index: number) => sequenceOf(told[index], turn, body)
  const others = told.flatMap((one, i) => (i === best ? [] : [{ generated_text: textOf(one, body), ...sequence(i) }]))
  reply.type('application/json; charset=utf-8')
  return jsonBody({
    generated_text: textOf(told[best], body),
    ...(parameters.details === true && {
      details: {
        ...sequence(best),
        prompt_tokens: generation.counts.promptTokens,
        ...(others.length > 0 && { best_of_sequences: others }),
      },
    }),
  })
}

async function streamed(
  request: FastifyRequest<{ Body: Body }>,
  reply: FastifyReply,
  completion: Body,
  turn: CompletionTurn,
): Promise<unknown> {
  const { body } = request
  const parameters = parametersOf(body)
  if (given(parameters, 'best_of', 1) > 1)
    throw new ApiError('invalid_request', 'parameters.best_of must be 1 in a stream', 'parameters.best_of')
  const [told] = toldOf(body, turn)
  let stream: EventStream | undefined
  const open = () => (stream ??= new EventStream(reply, turn.adapter.headers, () => {}))
  const { generation, terms, run } = await takeTurn(request, reply, completion, turn, (_choice, piece) => {
    const from = told.tokens.length
    told.take(piece)
    for (let i = from; i < told.tokens.length; i++) {
      const last = piece.finish !== undefined && i === told.tokens.length - 1
      open().send({
        index: i + 1,
        token: told.tokens[i],
        ...(told.topTokens.length > 0 && { top_tokens: told.topTokens[i] }),
        generated_text: last ? textOf(told, body) : null,
        details: last
          ? {
              finish_reason: told.finish,
              prompt_tokens: generation.counts.promptTokens,
              generated_tokens: told.tokens.length,
              input_length: generation.counts.promptTokens,
              seed: seedOf(turn, body),
            }
          : null,
      })
    }
    return false
  })
  const running = run()
  if (terms.firstTokenMs === undefined) open()
  try {
    await running
  } catch (error) {
    if (!stream) throw error
    request.log.warn({ err: error }, 'a stream failed')
    stream.send(tgiError(toApiError(error, turn.adapter.serving.limits.bodyLimit)))
  }
  if (!stream && reply.raw.destroyed) return reply.hijack()
  open().end()
  return reply
}

const textOf = (told: Told, body: Body) => (parametersOf(body).return_full_text === true ? body.inputs : '') + told.text

/** The seed of what was drawn; null where none was given, and where nothing was drawn. */
function seedOf({ asked }: CompletionTurn, body: Body): number | null {
  const { seed } = asked.choices[0].sampling
  return seed === undefined || !samples(body) ? null : Number(seed)
}

/** Tokens of a list that are written at a time. */
const SLICE = 256

function* sliced<T>(list: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < list.length; at += SLICE) yield list.slice(at, at + SLICE)
}

function sequenceOf(told: Told, turn: CompletionTurn, body: Body): object {
  return {
    finish_reason: told.finish,
    generated_tokens: told.tokens.length,
    seed: seedOf(turn, body),
    prefill: new SlicedArray(sliced(told.prefill)),
    tokens: new SlicedArray(sliced(told.tokens)),
    ...(told.topTokens.length > 0 && { top_tokens: new SlicedArray(sliced(told.topTokens)) }),
  }
}

/** LoRAX's answer headers; milliseconds. */
function timesOf(generation: Generation, index: number, tokens: number, total: number): Record<string, string> {
  const { queue, inference } = generation.timesOf(index)
  const { promptTokens } = generation.counts
  const ms = (value: number) => String(Math.round(value))
  return {
    'x-prompt-tokens': String(promptTokens),
    'x-generated-tokens': String(tokens),
    'x-total-time': ms(total),
    'x-queue-time': ms(queue),
    'x-inference-time': ms(inference),
    'x-time-per-token': ms(inference / Math.max(1, tokens)),
  }
}
