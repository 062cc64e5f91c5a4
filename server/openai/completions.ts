/** POST /v1/completions. */
import type { FastifyInstance } from 'fastify'
import { chooseAdapter } from '../adapter-choice.ts'
import { encodePrompt } from '../encode-prompt.ts'
import { ApiError } from '../errors.ts'
import type { Serving } from '../types.ts'
import { answer, type Shape } from './answer.ts'
import type { ChoiceRequest, Piece } from './generation.ts'
import { append, type CompletionLogprobs, CompletionLogprobsBuilder, promptLogprobs } from './logprobs.ts'
import { type Body, checkFields, given, samplingOf, seededChoices, settleMaxTokens, textOptions } from './parameters.ts'
import { requestId } from './request-id.ts'
import { completionSchema } from './schemas.ts'

const DEFAULT_MAX_TOKENS = 16
/** Prompts times n: more sequences of one request than this are refused. */
const SEQUENCE_LIMIT = 4096

/** How far from its end a prompt is searched for text. */
const TEXT_TOKENS = 8

interface Prompt {
  ids: number[]
  /** False for special tokens alone. */
  hasText: boolean
  /** For echo: as given, or decoded. */
  text: () => string
}

export function completionRoutes(app: FastifyInstance, serving: Serving): void {
  app.post<{ Body: Body }>('/v1/completions', {
    schema: { body: completionSchema, tags: ['generation'], summary: 'Complete a prompt' },
    handler: async (request, reply) => {
      const { body } = request
      checkFields(body, completionSchema)
      const adapter = chooseAdapter(serving, request.headers, body.model as string | undefined)
      const n = given(body, 'n', 1)
      if (given(body, 'best_of', n) !== n)
        throw new ApiError('unsupported_parameter', 'best_of must equal n: no more are drawn than are returned', 'best_of')
      const prompts = promptsOf(serving, body)
      if (prompts.length * n > SEQUENCE_LIMIT)
        throw new ApiError(
          'invalid_request',
          `${prompts.length} prompts times n = ${n} are more than ${SEQUENCE_LIMIT} sequences`,
          'n',
        )
      const echo = given<boolean>(body, 'echo', false)
      const asked = given<number | undefined>(body, 'max_tokens', undefined)
      if (asked === 0 && !echo)
        throw new ApiError('invalid_request', 'max_tokens must be at least 1 unless echo is true', 'max_tokens')
      const logprobs = given(body, 'logprobs', -1)
      const sampling = samplingOf(serving, body, {
        maxTokens: asked ?? DEFAULT_MAX_TOKENS,
        logprobs,
        promptLogprobs: Math.max(given(body, 'prompt_logprobs', -1), echo ? logprobs : -1),
      })
      const choices: ChoiceRequest[] = prompts.flatMap(({ ids, hasText }) => {
        const maxTokens = settleMaxTokens(asked, DEFAULT_MAX_TOKENS, ids.length, serving.model.maxModelLen, 'prompt')
        return seededChoices({ ...sampling, maxTokens }, n).map((one) => ({ promptIds: ids, continues: hasText, sampling: one }))
      })
      return answer(
        serving,
        request,
        reply,
        body,
        adapter,
        {
          id: requestId('cmpl', request, body),
          choices,
          adapters: adapter.uses,
          ...textOptions(body),
        },
        prompts.reduce((sum, { ids }) => sum + ids.length, 0),
        new CompletionShape(serving, body, choices, (index) => (echo ? prompts[Math.floor(index / n)].text() : '')),
      )
    },
  })
}

function promptsOf(serving: Serving, body: Body): Prompt[] {
  const { tokenizer } = serving
  const given_ = body.prompt as string | string[] | number[] | number[][]
  const list =
    typeof given_ === 'string'
      ? [given_]
      : typeof given_[0] === 'number'
        ? [given_ as number[]]
        : (given_ as (string | number[])[])
  const truncate = given<number | undefined>(body, 'truncate_prompt_tokens', undefined)
  const addSpecialTokens = given<boolean>(body, 'add_special_tokens', true)
  return list.map((one) => {
    const all = typeof one === 'string' ? encodePrompt(serving, one, addSpecialTokens, 'prompt') : one
    const ids = truncate === undefined ? all : all.slice(-truncate)
    if (ids.length === 0) throw new ApiError('invalid_request', 'prompt must hold at least one token', 'prompt')
    const odd = ids.find((id) => id >= serving.engine.info.vocabSize)
    if (odd !== undefined)
      throw new ApiError(
        'invalid_request',
        `prompt: ${odd} is not a token id of this model (0 to ${serving.engine.info.vocabSize - 1})`,
        'prompt',
      )
    const asGiven = typeof one === 'string' && ids.length === all.length
    return {
      ids,
      hasText: tokenizer.decode(ids.slice(-TEXT_TOKENS), { skipSpecialTokens: true }) !== '',
      text: () =>
        asGiven
          ? (one as string)
          : tokenizer.decode(ids, { skipSpecialTokens: given<boolean>(body, 'skip_special_tokens', true) }),
    }
  })
}

interface Whole extends Partial<Omit<Piece, 'logprobs'>> {
  text: string
  tokens: number[]
  logprobs: CompletionLogprobs | null
}

class CompletionShape implements Shape {
  readonly object = 'text_completion'
  readonly chunkObject = 'text_completion'
  private readonly serving: Serving
  private readonly body: Body
  private readonly requests: ChoiceRequest[]
  private readonly echoed: (index: number) => string
  /** Of the choices' own tokens; empty when none are asked for. */
  private readonly builders: CompletionLogprobsBuilder[]
  private readonly whole: Whole[]

  constructor(serving: Serving, body: Body, requests: ChoiceRequest[], echoed: (index: number) => string) {
    this.serving = serving
    this.body = body
    this.requests = requests
    this.echoed = echoed
    this.whole = requests.map((_, index) => ({ text: echoed(index), tokens: [], logprobs: null }))
    this.builders =
      given(body, 'logprobs', -1) < 0
        ? []
        : requests.map(({ continues }, index) => this.builder(this.whole[index].text.length, continues))
  }

  chunks(index: number, piece: Piece, first: boolean): object[] {
    const logprobs = this.logprobs(index, piece)
    const text = (first ? this.echoed(index) : '') + piece.text
    const ids = given<boolean>(this.body, 'return_token_ids', false)
    if (text === '' && !logprobs && !piece.finish && !ids && !piece.promptLogprobs) return []
    return [
      {
        index,
        text,
        logprobs,
        finish_reason: piece.finish ?? null,
        stop_reason: piece.stopReason ?? null,
        ...(ids && { token_ids: piece.tokens, ...(first && { prompt_token_ids: this.requests[index].promptIds }) }),
        ...this.promptLogprobs(piece),
      },
    ]
  }

  collect(index: number, piece: Piece): void {
    const choice = this.whole[index]
    choice.text += piece.text
    for (const token of piece.tokens) choice.tokens.push(token)
    const more = this.logprobs(index, piece)
    if (more && choice.logprobs) append(choice.logprobs, more)
    else choice.logprobs ??= more
    if (piece.finish) Object.assign(choice, { finish: piece.finish, stopReason: piece.stopReason })
    if (piece.promptLogprobs) choice.promptLogprobs = piece.promptLogprobs
  }

  choices(): object[] {
    return this.whole.map((choice, index) => ({
      index,
      text: choice.text,
      logprobs: choice.logprobs,
      finish_reason: choice.finish ?? null,
      stop_reason: choice.stopReason ?? null,
      ...(given<boolean>(this.body, 'return_token_ids', false) && {
        token_ids: choice.tokens,
        prompt_token_ids: this.requests[index].promptIds,
      }),
      ...this.promptLogprobs(choice),
    }))
  }

  extra(): object {
    return {}
  }

  /** Of the piece's tokens; with echo, the prompt's before those of the first piece. */
  private logprobs(index: number, piece: Piece): CompletionLogprobs | null {
    if (this.builders.length === 0) return null
    const own = piece.logprobs.length > 0 ? this.builders[index].build(piece.logprobs) : null
    if (!piece.promptLogprobs || !given<boolean>(this.body, 'echo', false)) return own
    const [first] = this.requests[index].promptIds
    const prompt = this.builder(0, false).build(piece.promptLogprobs, first)
    if (own) append(prompt, own)
    return prompt
  }

  private builder(offset: number, continues: boolean): CompletionLogprobsBuilder {
    const skipSpecialTokens = given<boolean>(this.body, 'skip_special_tokens', true)
    const { tokenizer } = this.serving
    return new CompletionLogprobsBuilder(tokenizer, tokenizer.detokenizer({ skipSpecialTokens, continues }), offset)
  }

  private promptLogprobs(piece: Pick<Piece, 'promptLogprobs'>): object {
    if (given(this.body, 'prompt_logprobs', -1) < 0 || !piece.promptLogprobs) return {}
    return { prompt_logprobs: promptLogprobs(this.serving.tokenizer, piece.promptLogprobs) }
  }
}
