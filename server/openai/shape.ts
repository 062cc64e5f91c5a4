/** How an answer's choices look, whole or as a stream's chunks: what both routes have in common. Each says how its own are written. */
import type { LogprobRows } from '../../runtime/index.ts'
import type { Serving, TokenReader } from '../types.ts'
import type { ChoiceRequest, Piece } from './generation.ts'
import { LogprobList } from './logprob-list.ts'
import { asTokenIds, promptLogprobs } from './logprobs.ts'
import { type Body, given } from './parameters.ts'

/** All that a choice brought so far, as one piece. It begins with what is echoed; of a stream's, that is all. */
type Whole = Omit<Piece, 'logprobs'> & { logprobs: LogprobList }

export abstract class Shape {
  /** Object name of the whole answer and of a stream's chunks. */
  abstract readonly object: string
  abstract readonly chunkObject: string
  protected readonly serving: Serving
  protected readonly body: Body
  protected readonly requests: ChoiceRequest[]
  protected readonly whole: Whole[]
  protected readonly wantsIds: boolean
  /** As logprobs write tokens. */
  protected readonly tokens: TokenReader
  /** The text before a choice's own. */
  protected readonly echoed: (index: number) => string

  constructor(serving: Serving, body: Body, requests: ChoiceRequest[], echoed: (index: number) => string) {
    this.serving = serving
    this.body = body
    this.requests = requests
    this.echoed = echoed
    this.wantsIds = this.asked('return_token_ids')
    this.tokens = this.asked('return_tokens_as_token_ids') ? asTokenIds(serving.tokenizer) : serving.tokenizer
    this.whole = requests.map((_, index) => ({
      first: true,
      text: echoed(index),
      tokens: [],
      logprobs: new LogprobList(),
    }))
  }

  /** `choices` items of a stream for one piece. */
  abstract chunks(index: number, piece: Piece): object[]

  /** Whether a choice has all that it may have. */
  enough(_index: number): boolean {
    return false
  }

  /** Fields beside `choices` in the whole answer, or in a stream's first chunk of a choice. */
  abstract extra(): object

  /** Tokens of a choice, or of all, that were reasoning. */
  reasoningTokens(_index?: number): number {
    return 0
  }

  /** The fields of a whole choice that hold its text. */
  protected abstract content(text: string, index: number): object

  /** How the next tokens' logprobs are written, all of a whole choice's or a piece's; null when none are asked for. */
  protected abstract logprobs(index: number, rows: LogprobRows | undefined, prompt: LogprobList | undefined): object | null

  /** The last fields of a choice. */
  protected abstract tail(index: number, piece: Pick<Piece, 'first' | 'tokens' | 'promptLogprobs'>): object

  /** Takes a piece into the whole answer's choice. */
  collect(index: number, piece: Piece): void {
    const whole = this.whole[index]
    whole.text += piece.text
    for (const token of piece.tokens) whole.tokens.push(token)
    if (piece.logprobs) whole.logprobs.append(piece.logprobs)
    whole.promptLogprobs ??= piece.promptLogprobs
    if (piece.finish) Object.assign(whole, { finish: piece.finish, stopReason: piece.stopReason })
  }

  /** The whole answer's, each when it is asked for. */
  *choices(): Generator<[object]> {
    for (const [place, index] of this.kept().entries()) {
      const whole = this.whole[index]
      const choice = {
        index: place,
        ...this.content(whole.text, index),
        logprobs: this.logprobs(index, whole.logprobs.rows, whole.promptLogprobs),
        finish_reason: this.finishReason(index, whole.finish),
        stop_reason: whole.stopReason ?? null,
        ...this.tail(index, whole),
      }
      yield [choice]
    }
  }

  /** Which choices of those that ran are returned, in order. */
  protected kept(): number[] {
    return [...this.whole.keys()]
  }

  /** How the answer says why a choice ended. */
  protected finishReason(_index: number, finish: Piece['finish']): string | null {
    return finish ?? null
  }

  protected asked(flag: string): boolean {
    return given<boolean>(this.body, flag, false)
  }

  /** `prompt_logprobs`, where the request wants them and they are there. */
  protected promptLogprobs(index: number, list: LogprobList | undefined): object {
    if (given(this.body, 'prompt_logprobs', -1) < 0 || !list) return {}
    const [first] = this.requests[index].promptIds
    return { prompt_logprobs: promptLogprobs(this.serving.tokenizer, { rows: list.rows, first }) }
  }
}
