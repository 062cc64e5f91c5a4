/** Logprobs as objects, for tests to look at. */
import type { LogprobRows } from '../../runtime/types.ts'

export interface TopLogprob {
  token: number
  logprob: number
}
export interface TokenLogprob extends TopLogprob {
  rank: number
  top: TopLogprob[]
}

export function tokenLogprobs(rows: LogprobRows | undefined): TokenLogprob[] {
  const all: TokenLogprob[] = []
  if (!rows) return all
  const { of, from, to } = rows
  for (let i = from; i < to; i++) {
    const top: TopLogprob[] = []
    for (let k = of.topStarts[i]; k < of.topStarts[i + 1]; k++) top.push({ token: of.topTokens[k], logprob: of.topLogprobs[k] })
    all.push({ token: of.tokens[i], logprob: of.logprob[i], rank: of.rank[i], top })
  }
  return all
}
