/** What TGI and LoRAX tell of an answer: its tokens one by one, and how it ended. */
import type { LogprobRows } from '../../runtime/index.ts'
import type { Piece } from '../openai/generation.ts'
import type { TokenReader } from '../types.ts'

export interface ToldToken {
  id: number
  text: string
  logprob: number | null
  special: boolean
  /** LoRAX's. */
  alternative_tokens?: object[]
}

interface Wanted {
  /** TGI's `top_tokens`. */
  top: boolean
  /** LoRAX's `alternative_tokens`. */
  alternatives: boolean
}

/** One choice's tokens as they come. Their texts add up to the choice's. */
export class Told {
  text = ''
  readonly tokens: ToldToken[] = []
  readonly topTokens: object[][] = []
  /** Of the prompt, when asked for. */
  prefill: object[] = []
  finish: 'length' | 'eos_token' | 'stop_sequence' | undefined
  private readonly tokenizer: TokenReader
  private readonly wanted: Wanted
  private readonly firstOfPrompt: number
  private logprobs = 0

  constructor(tokenizer: TokenReader, firstOfPrompt: number, wanted: Wanted) {
    this.tokenizer = tokenizer
    this.firstOfPrompt = firstOfPrompt
    this.wanted = wanted
  }

  /** Of what is drawn the likeliest has the highest. */
  get meanLogprob(): number {
    return this.tokens.length === 0 ? Number.NEGATIVE_INFINITY : this.logprobs / this.tokens.length
  }

  /** Takes what has come; returns how many tokens that were. */
  take({ text, tokens, logprobs, promptLogprobs, finish, stopReason }: Piece): number {
    this.text += text
    if (promptLogprobs) this.prefill = this.prompt(promptLogprobs.rows)
    for (const [i, id] of tokens.entries()) {
      const row = logprobs && logprobs.from + i < logprobs.to ? logprobs.from + i : undefined
      const logprob = row === undefined || !logprobs ? null : logprobs.of.logprob[row]
      const last = i === tokens.length - 1
      // The text of several goes with the last; what is special is spelt, and clients leave it out.
      const special = this.isSpecial(id) && !(last && text !== '')
      const told: ToldToken = { id, text: special ? this.tokenizer.token(id).text : last ? text : '', logprob, special }
      const likely = logprobs && row !== undefined ? this.likely(logprobs.of, row) : []
      if (this.wanted.alternatives) told.alternative_tokens = likely.map(({ special: _special, ...one }) => one)
      if (this.wanted.top) this.topTokens.push(likely)
      this.tokens.push(told)
      this.logprobs += logprob ?? 0
    }
    if (finish) this.finish = finish === 'length' ? 'length' : stopReason == null ? 'eos_token' : 'stop_sequence'
    return tokens.length
  }

  private likely(all: LogprobRows['of'], row: number) {
    const list: { id: number; text: string; logprob: number; special: boolean }[] = []
    for (let k = all.topStarts[row]; k < all.topStarts[row + 1]; k++) {
      const id = all.topTokens[k]
      list.push({ id, text: this.tokenizer.token(id).text, logprob: all.topLogprobs[k], special: this.isSpecial(id) })
    }
    return list
  }

  private prompt({ of, from, to }: LogprobRows): object[] {
    const entry = (id: number, logprob: number | null) => ({ id, text: this.tokenizer.token(id).text, logprob })
    const list = [entry(this.firstOfPrompt, null)]
    for (let i = from; i < to; i++) list.push(entry(of.tokens[i], of.logprob[i]))
    return list
  }

  private isSpecial(id: number): boolean {
    const { tokenizer } = this
    return (
      tokenizer.decode([id], { skipSpecialTokens: true }) === '' && tokenizer.decode([id], { skipSpecialTokens: false }) !== ''
    )
  }
}
