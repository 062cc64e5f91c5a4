/** The batch, which lives in the addon: which slot each admitted sequence has, what of it the addon has been told, and the steps' packed arrays. */
import { type NativeEngine, STEP_SEQUENCE, STEP_SEQUENCE_FIELDS, type StepBatch } from '../../native/types.ts'
import type { AdapterResidency, Resident } from '../pool/residency.ts'
import { packOptions } from '../sampling-options.ts'
import type { Scheduled } from '../scheduler/scheduled.ts'
import type { Sequence } from '../scheduler/sequence.ts'
import { type Masks, packedMasks } from './masks.ts'

/** What the batch needs of the addon. */
type Slots = Pick<NativeEngine, 'admit' | 'release'>

export interface PackedStep {
  batch: StepBatch
  /** In packed order. */
  scheduled: Scheduled[]
  tokens: number
}

export class Batch {
  private readonly native: Slots
  private readonly adapters: AdapterResidency
  private readonly free: number[]
  private readonly masks: Pick<Masks, 'begin' | 'end' | 'pack'> | undefined
  private readonly draftTokens: number

  /** Without `masks` no sequence is constrained. */
  constructor(
    native: Slots,
    slots: number,
    adapters: AdapterResidency,
    masks?: Pick<Masks, 'begin' | 'end' | 'pack'>,
    draftTokens = 0,
  ) {
    this.masks = masks
    this.draftTokens = draftTokens
    this.native = native
    this.adapters = adapters
    this.free = Array.from({ length: slots }, (_, i) => slots - 1 - i)
  }

  /** Packs one step; sequences that are new to the batch get a slot. Sequences with the same adapters lie side by side, whatever their order in the queue. */
  pack(planned: readonly Scheduled[]): PackedStep {
    const scheduled = grouped(planned)
    const sequences = new Int32Array(scheduled.length * STEP_SEQUENCE_FIELDS)
    const blocks: number[] = []
    let tokens = 0
    const masks: number[] = []
    let returnLogits = false
    for (let i = 0, at = 0; i < scheduled.length; i++, at += STEP_SEQUENCE_FIELDS) {
      const { sequence, from, count, scoreFrom, scored, samples, sumFrom, summed, drafted } = scheduled[i]
      const slot = sequence.slot ?? this.admit(sequence)
      for (; sequence.toldBlocks < sequence.blocks.length; sequence.toldBlocks++)
        blocks.push(slot, sequence.toldBlocks, sequence.blocks[sequence.toldBlocks])
      sequences[at + STEP_SEQUENCE.slot] = slot
      sequences[at + STEP_SEQUENCE.past] = from
      sequences[at + STEP_SEQUENCE.count] = count
      sequences[at + STEP_SEQUENCE.scoreFrom] = scoreFrom
      sequences[at + STEP_SEQUENCE.scored] = scored
      sequences[at + STEP_SEQUENCE.samples] = samples ? 1 : 0
      if (samples) this.masks?.pack(sequence, masks)
      sequences[at + STEP_SEQUENCE.sumFrom] = sumFrom
      sequences[at + STEP_SEQUENCE.summed] = summed
      sequences[at + STEP_SEQUENCE.drafted] = drafted
      tokens += count
      returnLogits ||= sequence.request.sampling.returnLogits === true
    }
    const batch: StepBatch = { sequences, blocks: blocks.length > 0 ? Int32Array.from(blocks) : NONE, returnLogits }
    batch.masks = packedMasks(masks)
    return { batch, scheduled, tokens }
  }

  /** The sequence has left the batch: its slot, and what it had told of its blocks, are no more. */
  leave(sequence: Sequence): void {
    if (sequence.slot === undefined) return
    this.native.release(sequence.slot)
    this.masks?.end(sequence)
    this.free.push(sequence.slot)
    sequence.slot = undefined
    sequence.toldBlocks = 0
    sequence.found = undefined
  }

  private admit(sequence: Sequence): number {
    const slot = this.free.at(-1)
    if (slot === undefined) throw new Error('more sequences are admitted than the batch has slots')
    const { request, tokens, promptLength, uses } = sequence
    const entries = uses.map((use) => this.adapters.get(use.digest) as Resident)
    this.native.admit({
      slot,
      tokens: tokens.length === promptLength ? request.promptIds : Int32Array.from(tokens),
      promptLength,
      vocabSize: request.vocabSize,
      entryAdapter: Int32Array.from(entries, (resident) => resident.index),
      entryGeneration: Int32Array.from(entries, (resident) => resident.generation),
      entryDigest: BigUint64Array.from(entries, (resident) => resident.digest64),
      entryWeight: Float32Array.from(uses, (use) => use.weight),
      entryRank: Int32Array.from(uses, ({ rank = 0 }) => rank),
      adaptersFrom: sequence.adaptersFrom,
      options: packOptions(request.sampling),
      seed: sequence.seed,
      // What a grammar allows behind a draft is not known.
      drafts: request.constraint ? 0 : this.draftTokens,
      ...request.lists,
    })
    this.free.pop()
    sequence.slot = slot
    sequence.toldBlocks = 0
    this.masks?.begin(sequence, slot)
    return slot
  }
}

const NONE = new Int32Array(0)

/** By the adapters that act in the step, groups in the order of their first. */
function grouped(planned: readonly Scheduled[]): Scheduled[] {
  const groups = new Map<string, Scheduled[]>()
  for (const item of planned) {
    const { sequence, from, count } = item
    const key = from + count > sequence.adaptersFrom ? sequence.adapterKey : ''
    const group = groups.get(key)
    if (group) group.push(item)
    else groups.set(key, [item])
  }
  return groups.size === 1 ? [...planned] : [...groups.values()].flat()
}
