/** One pool, against a part for adapters and a part for KV, and against memory in runs without gaps. */
import { against } from '../report.ts'
import type { Load, Result } from './core-load.ts'
import { type Ground, loadOf, resultTable } from './ground.ts'
import { ContiguousMemory, SplitMemory } from './memories.ts'

/** Adapters' parts of the split, of which the best counts. */
const PARTS = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
/** Of a rival that it is not to be behind; arrivals and drain alone move the last digits. */
const AT_LEAST = 0.99

interface Ways {
  unified: Result
  split: Result
  part: number
  contiguous: Result
  longest: Result
}

async function split({ machine, cost }: Ground, load: Load): Promise<{ part: number; split: Result }> {
  let best: { part: number; split: Result } | undefined
  const { blockCount } = machine.pages
  const largest = Math.max(...machine.images.map(({ blocks, frames }) => blocks + (frames > 0 ? 1 : 0)))
  for (const part of PARTS) {
    const blocks = Math.round(part * blockCount)
    if (blocks < largest) continue
    const result = await machine.behind(
      cost,
      load,
      blockCount - blocks,
      (copied) => new SplitMemory(blocks, machine.pages, machine.imageOf, copied),
    )
    const better = !best || result.requestsPerS > best.split.requestsPerS
    if (better) best = { part, split: result }
  }
  if (!best) throw new Error('no part of the pool holds the largest adapter')
  return best
}

function contiguous({ machine, cost, lengths }: Ground, load: Load, known: boolean): Promise<Result> {
  const { pages, imageOf } = machine
  // The scheduler's own pool never says no: the gate does.
  return machine.behind(
    cost,
    load,
    10 * pages.blockCount,
    (copied) =>
      new ContiguousMemory(pages.blockCount, pages, imageOf, copied, ({ promptLength, request }) =>
        known ? promptLength + request.sampling.maxTokens : 2 * lengths[1],
      ),
  )
}

export async function memoryAblation(ground: Ground, counts: readonly number[]): Promise<void> {
  const all: { adapters: number; ways: Ways }[] = []
  for (const adapters of counts) {
    const load = loadOf(ground, { adapters })
    const unified = await ground.machine.virtually(ground.cost, load)
    const best = await split(ground, load)
    const ways = {
      unified,
      ...best,
      contiguous: await contiguous(ground, load, true),
      longest: await contiguous(ground, load, false),
    }
    all.push({ adapters, ways })
  }
  console.log(
    resultTable(
      ['adapters', 'memory'],
      all.flatMap(({ adapters, ways }): [string[], Result][] => [
        [[`${adapters}`, 'one pool'], ways.unified],
        [[`${adapters}`, `best split: ${Math.round(100 * ways.part)} % for adapters`], ways.split],
        [[`${adapters}`, 'contiguous, answers reserved'], ways.contiguous],
        [[`${adapters}`, 'contiguous, the longest reserved'], ways.longest],
      ]),
    ),
  )
  for (const { adapters, ways } of all) {
    const { unified, split, contiguous, longest } = ways
    const ratio = (rival: Result) => unified.requestsPerS / rival.requestsPerS
    const worst = Math.min(ratio(split), ratio(contiguous), ratio(longest))
    const said = `× ${ratio(split).toFixed(3)} the best split's, × ${ratio(contiguous).toFixed(3)} and × ${ratio(longest).toFixed(3)} of contiguous memory's`
    console.log(against(`${adapters} adapters: one pool completes ${said} (≥ ${AT_LEAST})`, worst >= AT_LEAST))
  }
}
