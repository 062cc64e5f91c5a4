/** What all ablations stand on: one machine, one offered load. */
import { table } from '../report.ts'
import type { Load, Result } from './core-load.ts'
import type { Cost } from './engines.ts'
import type { Machine } from './machine.ts'
import { traceOf } from './workload.ts'

export interface Ground {
  machine: Machine
  cost: Cost
  vocabulary: number
  lengths: [number, number]
  /** Requests a second that are offered, for so many seconds. */
  rate: number
  duration: number
  sloMs: number
}

export interface Traffic {
  adapters: number
  alpha?: number
  cv?: number
  rate?: number
}

export function loadOf(ground: Ground, { adapters, alpha = 1, cv = 1, rate = ground.rate }: Traffic): Load {
  const { machine, lengths, vocabulary, sloMs, duration } = ground
  const requests = traceOf({ adapters, alpha, cv, rate, duration, lengths })
  return { requests, imageOf: (i) => machine.images[i], vocabulary, sloMs }
}

const HEAD = [
  'requests/s',
  'tokens/s',
  'first token, s',
  'p99',
  'in time',
  'refused',
  'batch, mean',
  'largest',
  'adapters in a step',
  'most resident',
  'GB copied',
  'preempted',
]

const cells = (one: Result): string[] => [
  one.requestsPerS.toFixed(3),
  one.tokensPerS.toFixed(0),
  (one.firstTokenMs.mean / 1e3).toFixed(2),
  (one.firstTokenMs.p99 / 1e3).toFixed(2),
  `${(100 * one.slo).toFixed(1)} %`,
  `${one.refused}`,
  one.meanBatch.toFixed(1),
  `${one.largestBatch}`,
  one.meanAdapters.toFixed(1),
  `${one.mostAdapters}`,
  (one.copiedMb / 1e3).toFixed(2),
  `${one.preemptions}`,
]

/** `names`: heads of the first columns. */
export const resultTable = (names: string[], rows: [string[], Result][]) =>
  table(
    [...names, ...HEAD],
    rows.map(([name, one]) => [...name, ...cells(one)]),
  )
