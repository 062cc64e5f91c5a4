/** Packs what the scheduler planned into one native step's integer arrays. */
import type { StepBatch } from '../../native/types.ts'
import type { AdapterResidency, Resident } from '../pool/residency.ts'
import type { Scheduled } from '../scheduler/scheduler.ts'
import { type LogitsRow, logitsRows } from './rows.ts'
import { packSampling } from './sampling.ts'

export interface PackedStep {
  batch: StepBatch
  /** The scheduled sequences in packed order. */
  scheduled: Scheduled[]
  /** Segment of each of them. */
  segmentOf: number[]
  rows: LogitsRow[]
}

/** Sequences with the same adapters lie side by side and share a segment, whatever their order in the queue. */
export function packStep(planned: Scheduled[], blockSize: number, adapters: AdapterResidency): PackedStep {
  const groups = new Map<string, Scheduled[]>()
  for (const item of planned) {
    const group = groups.get(item.sequence.adapterKey)
    if (group) group.push(item)
    else groups.set(item.sequence.adapterKey, [item])
  }
  const scheduled = [...groups.values()].flat()
  const tokens = scheduled.reduce((sum, item) => sum + item.count, 0)
  const width = scheduled.reduce((most, item) => Math.max(most, item.sequence.blocks.length), 0)
  const count = scheduled.length
  const inputIds = new Int32Array(tokens)
  const slotMapping = new Int32Array(tokens)
  const cumulativeSequenceLength = new Int32Array(count + 1)
  const pastSeqlens = new Int32Array(count)
  const blockTable = new Int32Array(count * width)
  const rows: LogitsRow[] = []
  const segmentStarts = [0]
  const segmentEntries = [0]
  const entries: { resident: Resident; weight: number }[] = []
  const segmentOf: number[] = []
  let at = 0
  let b = 0
  for (const group of groups.values()) {
    for (const item of group) {
      const { sequence } = item
      rows.push(...logitsRows(item, at))
      blockTable.set(sequence.blocks, b * width)
      pastSeqlens[b] = sequence.computed
      segmentOf.push(segmentStarts.length - 1)
      for (let i = 0; i < item.count; i++, at++) {
        const position = sequence.computed + i
        inputIds[at] = sequence.tokens[position]
        slotMapping[at] = sequence.blocks[Math.floor(position / blockSize)] * blockSize + (position % blockSize)
      }
      cumulativeSequenceLength[++b] = at
    }
    for (const { digest, weight } of group[0].sequence.uses) entries.push({ resident: adapters.get(digest) as Resident, weight })
    segmentStarts.push(at)
    segmentEntries.push(entries.length)
  }
  return {
    scheduled,
    segmentOf,
    rows,
    batch: {
      inputIds,
      cumulativeSequenceLength,
      pastSeqlens,
      blockTable,
      slotMapping,
      segmentStarts: Int32Array.from(segmentStarts),
      segmentEntries: Int32Array.from(segmentEntries),
      entryAdapter: Int32Array.from(entries, (e) => e.resident.index),
      entryGeneration: Int32Array.from(entries, (e) => e.resident.generation),
      entryDigest: BigUint64Array.from(entries, (e) => e.resident.digest64),
      entryWeight: Float32Array.from(entries, (e) => e.weight),
      logitsIndices: Int32Array.from(rows, (row) => row.at),
      sampling: packSampling(rows),
      returnLogits: scheduled.some((item) => item.sequence.request.sampling.returnLogits),
    },
  }
}
