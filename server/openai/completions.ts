/** POST /v1/completions. */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { LogprobRows } from '../../runtime/index.ts'
import { type Asking, chooseAdapter, type LeasedAdapters, leaseAdapters } from '../adapter-choice.ts'
import { type Lasting, leaving } from '../client-left.ts'
import { decodeInSlices } from '../decode-in-slices.ts'
import { ApiError } from '../errors.ts'
import { slicedNumbers } from '../json.ts'
import { COMPUTED } from '../openapi/describe.ts'
import { structuredOf } from '../structured/request.ts'
import type { Serving, TokenIds } from '../types.ts'
import { answer } from './answer.ts'
import { COMPLETION_ANSWER } from './answer-schemas.ts'
import { badWordsOf } from './bad-words.ts'
import type { ChoiceRequest, Piece } from './generation.ts'
import type { LogprobList } from './logprob-list.ts'
import { completionLogprobs, TextOffsets } from './logprobs.ts'
import { type Body, checkFields, given, settleMaxTokens, textOptions } from './parameters.ts'
import { requestId } from './request-id.ts'
import { checkTokens, samplingOf, seededChoices } from './sampling.ts'
import { completionSchema } from './schemas.ts'
import { Shape } from './shape.ts'
import type { Prepared } from './turn.ts'

export type CompletionHandler = (request: FastifyRequest<{ Body: Body }>, reply: FastifyReply) => Promise<unknown>

const DEFAULT_MAX_TOKENS = 16

/** How far from its end a prompt is searched for text. */
const TEXT_TOKENS = 8

interface Prompt {
  ids: TokenIds
  /** False for special tokens alone. */
  hasText: boolean
  /** For echo, else empty: as given, or decoded. */
  text: string
}

/** Prompts that are ready to be completed. */
export interface CompletionTurn extends Prepared {
  prompts: readonly Prompt[]
}

/** Makes turns of completion bodies: what all routes have in common that complete a prompt. */
export type CompletionTurns = ReturnType<typeof completionTurns>

export function completionTurns(all: Serving) {
  const schema = completionSchema(all)
  return {
    schema,
    /** `leased`: what serves it, where that is known already; `fallback`: tokens where max_tokens is absent. Throws ApiError, which names the fields of a completion body. */
    prepare: async (
      request: Asking,
      reply: Lasting,
      body: Body,
      leased?: LeasedAdapters,
      fallback = DEFAULT_MAX_TOKENS,
    ): Promise<CompletionTurn> => {
      checkFields(body, schema)
      const choice = await chooseAdapter(all, request, body.model as string | undefined, reply)
      const n = given(body, 'n', 1)
      const drawn = given(body, 'best_of', n)
      checkDrawn(body, n, drawn)
      const structured = structuredOf(body)
      const echo = given<boolean>(body, 'echo', false)
      const list = promptList(body)
      all.cost.checkSequences(list.length * drawn, drawn > n ? 'best_of' : n > 1 ? 'n' : 'prompt')
      const adapter = leased ?? (await leaseAdapters(all, choice, reply))
      const { serving } = adapter
      const prompts = await promptsOf(serving, body, list, echo, leaving(reply))
      const asked = given<number | undefined>(body, 'max_tokens', undefined)
      if (asked === 0 && !echo)
        throw new ApiError('invalid_request', 'max_tokens must be at least 1 unless echo is true', 'max_tokens')
      const logprobs = given(body, 'logprobs', -1)
      const badWords = await badWordsOf(serving, body, leaving(reply))
      const sampling = samplingOf(serving, body, {
        badWords,
        maxTokens: asked ?? fallback,
        // What is chosen among is compared by them.
        logprobs: drawn > n ? Math.max(0, logprobs) : logprobs,
        promptLogprobs: Math.max(given(body, 'prompt_logprobs', -1), echo ? logprobs : -1),
        sequences: prompts.length * drawn,
      })
      const choices: ChoiceRequest[] = prompts.flatMap(({ ids, hasText }) => {
        const maxTokens = settleMaxTokens(asked, fallback, ids.length, serving.model.maxModelLen, 'prompt')
        return seededChoices({ ...sampling, maxTokens }, drawn).map((one) => ({
          promptIds: ids,
          continues: hasText,
          sampling: one,
        }))
      })
      return {
        adapter,
        asked: {
          id: requestId('cmpl', request, body),
          choices,
          promptField: 'prompt',
          ...structured,
          ...textOptions(body, serving.scheduling),
        },
        promptTokens: prompts.reduce((sum, { ids }) => sum + ids.length, 0),
        prompts,
      }
    },
  }
}

export function completionRoutes(app: FastifyInstance, turns: CompletionTurns): CompletionHandler {
  const handler: CompletionHandler = async (request, reply) => {
    const { body } = request
    const turn = await turns.prepare(request, reply, body)
    const { adapter, asked, prompts } = turn
    const drawn = asked.choices.length / prompts.length
    const echoed = (index: number) => prompts[Math.floor(index / drawn)].text
    return answer(request, reply, body, turn, new CompletionShape(adapter.serving, body, asked.choices, echoed, drawn))
  }
  app.post<{ Body: Body }>('/v1/completions', {
    schema: {
      body: turns.schema,
      tags: ['generation'],
      summary: 'Complete a prompt',
      api: { id: 'createCompletion', answer: COMPLETION_ANSWER, ...COMPUTED },
    },
    handler,
  })
  return handler
}

/** `drawn` choices of each prompt are made, of which the best n are returned. */
function checkDrawn(body: Body, n: number, drawn: number): void {
  if (drawn < n) throw new ApiError('invalid_request', `best_of (${drawn}) must be at least n (${n})`, 'best_of')
  if (drawn > n && given<boolean>(body, 'stream', false))
    throw new ApiError(
      'invalid_request',
      'which are the best is known at the end only: best_of cannot be above n in a stream',
      'best_of',
    )
}

type PromptList = (string | number[])[]

function promptList({ prompt }: Body): PromptList {
  if (typeof prompt === 'string') return [prompt]
  const list = prompt as number[] | PromptList
  return typeof list[0] === 'number' ? [list as number[]] : (list as PromptList)
}

async function promptsOf(serving: Serving, body: Body, list: PromptList, echo: boolean, left: AbortSignal): Promise<Prompt[]> {
  const { tokenizer } = serving
  const truncate = given<number | undefined>(body, 'truncate_prompt_tokens', undefined)
  const addSpecialTokens = given<boolean>(body, 'add_special_tokens', true)
  const skipSpecialTokens = given<boolean>(body, 'skip_special_tokens', true)
  const texts = list.filter((one) => typeof one === 'string')
  const encoded = (await serving.prompts.encode(texts, { addSpecialTokens, param: 'prompt' }, left)).values()
  const prompts: Prompt[] = []
  for (const [i, one] of list.entries()) {
    const all = typeof one === 'string' ? (encoded.next().value as TokenIds) : one
    checkTokens(all, list === body.prompt ? `prompt.${i}` : 'prompt', serving.vocabSize)
    const ids = truncate === undefined ? all : all.slice(-truncate)
    if (ids.length === 0) throw new ApiError('invalid_request', 'prompt must hold at least one token', 'prompt')
    const asGiven = typeof one === 'string' && ids.length === all.length
    const hasText = tokenizer.decode(ids.slice(-TEXT_TOKENS), { skipSpecialTokens: true }) !== ''
    const text = !echo ? '' : asGiven ? one : await decodeInSlices(tokenizer, ids, { skipSpecialTokens })
    prompts.push({ ids, hasText, text })
  }
  return prompts
}

class CompletionShape extends Shape {
  readonly object = 'text_completion'
  readonly chunkObject = 'text_completion'
  /** Of the choices' own tokens; empty when none are asked for. */
  private readonly offsets: TextOffsets[]
  private readonly drawn: number

  /** `drawn`: choices of each prompt. */
  constructor(serving: Serving, body: Body, requests: ChoiceRequest[], echoed: (index: number) => string, drawn: number) {
    super(serving, body, requests, echoed)
    this.drawn = drawn
    this.offsets =
      given(body, 'logprobs', -1) < 0
        ? []
        : requests.map(({ continues }, index) => this.offsetsFrom(this.whole[index].text.length, continues))
  }

  chunks(index: number, piece: Piece): object[] {
    const logprobs = this.logprobs(index, piece.logprobs, piece.promptLogprobs)
    const text = piece.first ? this.whole[index].text + piece.text : piece.text
    if (text === '' && !logprobs && !piece.finish && !this.wantsIds && !piece.promptLogprobs) return []
    return [
      {
        index,
        text,
        logprobs,
        finish_reason: piece.finish ?? null,
        stop_reason: piece.stopReason ?? null,
        ...this.tail(index, piece),
      },
    ]
  }

  extra(): object {
    return {}
  }

  /** Of each prompt's the n with the highest logprob a token (OpenAI's best_of). */
  protected override kept(): number[] {
    const n = given(this.body, 'n', 1)
    if (this.drawn === n) return super.kept()
    const means = this.whole.map(({ logprobs: { rows } }) => meanOf(rows))
    return Array.from({ length: this.whole.length / this.drawn }, (_, prompt) =>
      Array.from({ length: this.drawn }, (_, i) => prompt * this.drawn + i)
        .sort((a, b) => means[b] - means[a])
        .slice(0, n),
    ).flat()
  }

  protected content(text: string): object {
    return { text }
  }

  /** With echo, the prompt's stand before those of the first piece. */
  protected logprobs(index: number, rows: LogprobRows | undefined, prompt: LogprobList | undefined): object | null {
    if (this.offsets.length === 0) return null
    const [first] = this.requests[index].promptIds
    const parts = []
    if (prompt && this.asked('echo')) parts.push({ rows: prompt.rows, first, offsets: this.offsetsFrom(0, false) })
    if (rows && rows.to > rows.from) parts.push({ rows, offsets: this.offsets[index] })
    return parts.length > 0 ? completionLogprobs(this.tokens, parts) : null
  }

  protected tail(index: number, piece: Pick<Piece, 'first' | 'tokens' | 'promptLogprobs'>): object {
    return {
      ...(this.wantsIds && {
        token_ids: slicedNumbers(piece.tokens),
        ...(piece.first && { prompt_token_ids: slicedNumbers(this.requests[index].promptIds) }),
      }),
      ...this.promptLogprobs(index, piece.promptLogprobs),
    }
  }

  private offsetsFrom(offset: number, continues: boolean): TextOffsets {
    const skipSpecialTokens = given<boolean>(this.body, 'skip_special_tokens', true)
    return new TextOffsets(this.serving.tokenizer.detokenizer({ skipSpecialTokens, continues }), offset)
  }
}

function meanOf({ of, from, to }: LogprobRows): number {
  let sum = 0
  for (let i = from; i < to; i++) sum += of.logprob[i]
  return to > from ? sum / (to - from) : Number.NEGATIVE_INFINITY
}
