/** Early abort, against first come, first served and newest first, for even and for bursty arrivals. */
import { against } from '../report.ts'
import type { Load, Result } from './core-load.ts'
import { type Ground, loadOf, resultTable } from './ground.ts'

const CVS = [1, 4, 8]
/** S-LoRA's: who has waited until half a second before its time is given up. */
const GIVE_UP = 500
const POLICIES: { name: string; of: (load: Load) => Load }[] = [
  { name: 'first come, first served', of: (load) => load },
  { name: 'newest first', of: (load) => ({ ...load, newestFirst: true }) },
  { name: 'newest first, given up', of: (load) => ({ ...load, newestFirst: true, giveUpMs: load.sloMs - GIVE_UP }) },
  { name: 'early abort', of: (load) => ({ ...load, earlyAbort: true }) },
]

export async function abortAblation(ground: Ground, adapters: number): Promise<void> {
  const rows: [string[], Result][] = []
  const lines: string[] = []
  for (const cv of CVS) {
    const load = loadOf(ground, { adapters, cv })
    const results: Result[] = []
    for (const { of } of POLICIES) results.push(await ground.machine.virtually(ground.cost, of(load)))
    for (const [i, { name }] of POLICIES.entries()) rows.push([[`${cv}`, name], results[i]])
    const [fcfs, newest, givenUp, ours] = results.map(({ slo }) => 100 * slo)
    const others = `${fcfs.toFixed(1)} and ${newest.toFixed(1)} % of first come and newest first (newest first, given up: ${givenUp.toFixed(1)} %)`
    lines.push(against(`cv ${cv}: early abort has ${ours.toFixed(1)} % in time, ≥ ${others}`, ours >= Math.max(fcfs, newest)))
  }
  console.log(resultTable(['cv', 'policy'], rows))
  for (const line of lines) console.log(line)
}
