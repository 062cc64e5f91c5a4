/** Fewer ranks while the server is busy (`--busy-rank`): each row of a step then reads less of its adapters. */
import type { Lease } from '../adapters-store/index.ts'
import type { AdapterUse } from '../runtime/index.ts'
import type { Serving } from './types.ts'

/**
 * Lowers the ranks of a request to `--busy-rank` while more than `--busy-waiting` sequences wait, and counts it. A rank that the request names stays, and so does an adapter that does not
 * lie in rank rows alone. `lease`: of `uses`.
 */
export function asWhenBusy(
  { engine, limits: { busyRank, busyWaiting }, metrics }: Pick<Serving, 'engine' | 'limits' | 'metrics'>,
  uses: AdapterUse[],
  { maxRanks, ranked }: Pick<Lease, 'maxRanks' | 'ranked'>,
): AdapterUse[] {
  if (busyRank === undefined || engine.snapshot.waiting <= busyWaiting) return uses
  const lower = uses.map(({ rank }, i) => rank === undefined && ranked[i] && maxRanks[i] > busyRank)
  if (!lower.includes(true)) return uses
  metrics.lowered()
  return uses.map((use, i) => (lower[i] ? { ...use, rank: busyRank } : use))
}
