/** Prompts that are scored: equal ones once. */
import type { TokenIds } from '../types.ts'

/** What of a choice decides it. */
interface Scorable {
  promptIds: TokenIds
  sampling: { promptLogprobs: number }
}

/** A choice as it runs. */
export type Scored<Choice> = Choice & {
  /** The choice with the same prompt whose prompt logprobs are its own too. Absent: its prompt is scored with it, if that is asked for. */
  scoredBy?: number
}

function hashOf(ids: TokenIds): number {
  let hash = 0
  for (const id of ids) hash = Math.imul(hash ^ id, 0x01000193)
  return hash
}

const equal = (a: TokenIds, b: TokenIds) => a === b || (a.length === b.length && a.every((id, i) => id === b[i]))

/** Of choices with equal prompts only the first has its prompt scored. All have the same adapters, as those of one request have. */
export function scoredOnce<Choice extends Scorable>(choices: readonly Choice[]): Scored<Choice>[] {
  const firsts = new Map<number, number>()
  const hashes = new Map<TokenIds, number>()
  return choices.map((choice, index) => {
    const { promptIds, sampling } = choice
    if (sampling.promptLogprobs < 0) return choice
    const hash = hashes.get(promptIds) ?? hashOf(promptIds)
    hashes.set(promptIds, hash)
    const scoredBy = firsts.get(hash)
    if (scoredBy === undefined) firsts.set(hash, index)
    // Another prompt of the same hash is scored by itself.
    if (scoredBy === undefined || !equal(choices[scoredBy].promptIds, promptIds)) return choice
    return { ...choice, sampling: { ...sampling, promptLogprobs: -1 }, scoredBy }
  })
}
