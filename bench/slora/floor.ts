/** The least time that a trace can take at saturation, from what it took with few adapters. */

import type { Bandwidth } from '../bandwidth.ts'
import type { TraceRequest } from '../open-loop.ts'

/** What the server did for a trace. */
export interface Counted {
  seconds: number
  requestsPerS: number
  steps: number
  generated: number
  /** Adapters brought into the pool, and read from disk. */
  loads: number
  reads: number
}

export interface Floor {
  seconds: number
  /** Of these, beyond the run with few: adapters taken from files, copied into the pool, and read by the steps' kernels, each once a step. */
  loadS: number
  copyS: number
  readS: number
}

/** Bytes of different adapters among `rows` requests that follow each other, on average: who runs together at saturation. */
function bytesInStep(requests: readonly TraceRequest[], rows: number, bytesOf: (adapter: number) => number): number {
  const width = Math.max(1, Math.min(requests.length, Math.round(rows)))
  let sum = 0
  const starts = Math.max(1, requests.length - width + 1)
  for (let start = 0; start < starts; start++) {
    const different = new Set(requests.slice(start, start + width).map(({ adapter }) => adapter))
    for (const adapter of different) sum += bytesOf(adapter)
  }
  return sum / starts
}

/**
 * The steps of the run with few adapters, with as many rows in each, and beside them at this machine's bandwidths: what the trace's own adapters have more bytes than the few, in every step; what more had to be copied into
 * the pool; and what more had to be taken from files. `mean`: bytes of an adapter; `requests` and `counted` of the trace, `fewRequests` and `few` of that with few adapters.
 */
export function floorOf(
  { requests, counted }: { requests: readonly TraceRequest[]; counted: Counted },
  { requests: fewRequests, counted: few }: { requests: readonly TraceRequest[]; counted: Counted },
  bytesOf: (adapter: number) => number,
  { read, copy, load }: Bandwidth,
): Floor {
  const mean = requests.reduce((sum, { adapter }) => sum + bytesOf(adapter), 0) / requests.length
  const rows = few.generated / few.steps
  const more = bytesInStep(requests, rows, bytesOf) - bytesInStep(fewRequests, rows, bytesOf)
  const readS = Math.max(0, few.steps * more) / read
  const copyS = Math.max(0, (counted.loads - few.loads) * mean) / copy
  const loadS = Math.max(0, (counted.reads - few.reads) * mean) / load
  return { seconds: few.seconds + readS + copyS + loadS, loadS, copyS, readS }
}
