/** What a step costs as a sum over what it computes, with coefficients that are fitted to steps of the real engine. */
import { type SlotInput, STEP_SEQUENCE, STEP_SEQUENCE_FIELDS, type StepBatch } from '../../native/types.ts'
import { solve } from '../../runtime/scheduler/equations.ts'
import { addWork, noWork, type Work } from '../../runtime/scheduler/step-time.ts'

export interface StepWork extends Work {
  /** Different adapters in the step, and MB of their rank rows. */
  adapters: number
  adapterMb: number
  /** MB of rank rows that each token is multiplied with. */
  productMb: number
}

/** Milliseconds: of a step, of each of its tokens of chunks, thousand tokens of context, million pairs of attention, rows, MB of adapters read and MB multiplied with. */
export const PARTS = ['step', 'tokens', 'context', 'pairs', 'rows', 'adapterMb', 'productMb'] as const
export type StepCost = Record<(typeof PARTS)[number], number>

const parts = (work: StepWork): number[] => [
  1,
  work.tokens,
  work.context / 1e3,
  work.pairs / 1e6,
  work.rows,
  work.adapterMb,
  work.productMb,
]

export const msOf = (cost: StepCost, work: StepWork) => parts(work).reduce((sum, value, i) => sum + value * cost[PARTS[i]], 0)

/** A step that was run. */
export interface Measured {
  work: StepWork
  ms: number
}

/** A step that took so many times what was expected was another process's. */
const DISTURBED = 1.5

/** Least squares over relative errors, without coefficients below nothing; once more without the steps that others disturbed. */
export function fitted(measured: readonly Measured[]): StepCost {
  const first = leastSquares(measured)
  return leastSquares(measured.filter(({ work, ms }) => ms <= DISTURBED * msOf(first, work)))
}

/** Of all steps the relative error, without sign. */
export const errorsOf = (cost: StepCost, measured: readonly Measured[]) =>
  measured.map(({ work, ms }) => Math.abs(msOf(cost, work) / ms - 1))

function leastSquares(measured: readonly Measured[]): StepCost {
  const rows = measured.map(({ work, ms }) => parts(work).map((value) => value / ms))
  let used = PARTS.map((_, i) => i).filter((i) => rows.some((row) => row[i] > 0))
  for (;;) {
    const equations = used.map((i) => [
      ...used.map((j) => rows.reduce((sum, row) => sum + row[i] * row[j], 0)),
      rows.reduce((sum, row) => sum + row[i], 0),
    ])
    const solved = solve(equations)
    const least = Math.min(...solved)
    if (least >= 0)
      return Object.fromEntries(PARTS.map((part, i) => [part, used.includes(i) ? solved[used.indexOf(i)] : 0])) as StepCost
    used = used.filter((_, n) => solved[n] > least)
  }
}

/** Follows what an engine is told, so as to know what a step computes. */
export class StepReader {
  private readonly bytesOf: ReadonlyMap<bigint, number>
  private readonly adapters = new Map<number, readonly bigint[]>()
  /** Steps read, and all the adapters that were in them. */
  steps = 0
  adaptersInSteps = 0

  /** `bytesOf`: of adapters' rows, by the first 64 bits of their digests. */
  constructor(bytesOf: ReadonlyMap<bigint, number>) {
    this.bytesOf = bytesOf
  }

  admit({ slot, entryDigest }: SlotInput): void {
    this.adapters.set(slot, [...entryDigest])
  }

  workOf({ sequences }: StepBatch): StepWork {
    const work = { ...noWork(), adapters: 0, adapterMb: 0, productMb: 0 }
    const seen = new Set<bigint>()
    for (let i = 0; i < sequences.length; i += STEP_SEQUENCE_FIELDS) {
      const count = sequences[i + STEP_SEQUENCE.count]
      const rows = sequences[i + STEP_SEQUENCE.scored] + sequences[i + STEP_SEQUENCE.samples]
      addWork(work, sequences[i + STEP_SEQUENCE.past], count, rows)
      for (const digest of this.adapters.get(sequences[i + STEP_SEQUENCE.slot]) ?? []) {
        const mb = (this.bytesOf.get(digest) ?? 0) / 1e6
        work.productMb += count * mb
        if (seen.has(digest)) continue
        seen.add(digest)
        work.adapterMb += mb
      }
    }
    work.adapters = seen.size
    this.steps++
    this.adaptersInSteps += seen.size
    return work
  }
}
