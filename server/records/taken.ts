/** What a record is told of the adapters that serve its request. */
import type { LeasedAdapters } from '../adapter-choice.ts'
import type { Taken } from './record.ts'

export function takenOf(
  kind: Taken['kind'],
  { serving, model, uses, read }: LeasedAdapters,
  others: Pick<Taken, 'tenant' | 'promptIds' | 'sampling'>,
): Taken {
  const decode: Taken['decode'] = (ids) => serving.tokenizer.decode(ids, { skipSpecialTokens: false })
  return { kind, model, base: serving.model.name, uses, read, decode, ...others }
}
