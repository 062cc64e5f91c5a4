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
  /** By its part for adapters. */
  splits: Map<number, Result>
  contiguous: Result
  longest: Result
}

const rateOf = ({ requestsPerS }: Result) => requestsPerS
const bestOf = (splits: Ways['splits']) => [...splits].reduce((a, b) => (rateOf(b[1]) > rateOf(a[1]) ? b : a))

async function splits({ machine, cost }: Ground, load: Load): Promise<Map<number, Result>> {
  const { pages, images, imageOf } = machine
  const largest = Math.max(...images.map(({ blocks, frames }) => blocks + (frames > 0 ? 1 : 0)))
  const results = new Map<number, Result>()
  for (const part of PARTS) {
    const blocks = Math.round(part * pages.blockCount)
    if (blocks < largest) continue
    const gate = (copied: (mb: number) => void) => new SplitMemory(blocks, pages, imageOf, copied)
    results.set(part, await machine.behind(cost, load, pages.blockCount - blocks, gate))
  }
  if (results.size === 0) throw new Error('no part of the pool holds the largest adapter')
  return results
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

/** The one split that loses least against each number's best. */
function oneForAll(all: readonly { ways: Ways }[]): number {
  const worst = (part: number) =>
    Math.min(...all.map(({ ways: { splits } }) => rateOf(splits.get(part) as Result) / rateOf(bestOf(splits)[1])))
  return [...all[0].ways.splits.keys()].reduce((a, b) => (worst(b) > worst(a) ? b : a))
}

export async function memoryAblation(ground: Ground, counts: readonly number[]): Promise<void> {
  const all: { adapters: number; ways: Ways }[] = []
  for (const adapters of counts) {
    const load = loadOf(ground, { adapters })
    const unified = await ground.machine.virtually(ground.cost, load)
    const both = { contiguous: await contiguous(ground, load, true), longest: await contiguous(ground, load, false) }
    all.push({ adapters, ways: { unified, splits: await splits(ground, load), ...both } })
  }
  const fixed = oneForAll(all)
  const percent = (part: number) => `${Math.round(100 * part)} % for adapters`
  console.log(
    resultTable(
      ['adapters', 'memory'],
      all.flatMap(({ adapters, ways }): [string[], Result][] => [
        [[`${adapters}`, 'one pool'], ways.unified],
        [[`${adapters}`, `its best split: ${percent(bestOf(ways.splits)[0])}`], bestOf(ways.splits)[1]],
        [[`${adapters}`, `one split for all: ${percent(fixed)}`], ways.splits.get(fixed) as Result],
        [[`${adapters}`, 'contiguous, answers reserved'], ways.contiguous],
        [[`${adapters}`, 'contiguous, the longest reserved'], ways.longest],
      ]),
    ),
  )
  for (const { adapters, ways } of all) {
    const rivals = [bestOf(ways.splits)[1], ways.splits.get(fixed) as Result, ways.contiguous, ways.longest]
    const ratios = rivals.map((rival) => rateOf(ways.unified) / rateOf(rival))
    const [best, one, answers, longest] = ratios.map((ratio) => `× ${ratio.toFixed(3)}`)
    const said = `${best} its best split's, ${one} the one split's, ${answers} and ${longest} of contiguous memory's`
    console.log(against(`${adapters} adapters: one pool completes ${said} (≥ ${AT_LEAST})`, Math.min(...ratios) >= AT_LEAST))
  }
}
