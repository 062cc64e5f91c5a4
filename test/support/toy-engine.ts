/**
 * A native engine whose "model" remembers: a KV slot holds (token, position, adapter) of who wrote it, and the next token is a hash of all that a sequence sees
 * through its block table. So a wrong table, a stale block, a mixed-up adapter or a lost token gives other tokens than `toyTokens` computes without any cache.
 */
import {
  type NativeEngine,
  type PackedAdapter,
  type SlotInput,
  STEP_BLOCK_FIELDS,
  STEP_SEQUENCE_FIELDS,
  type StepBatch,
  type StepOutput,
} from '../../native/types.ts'

export const TOY_VOCABULARY = 97

const mix = (hash: number, value: number) => Math.imul(hash ^ value, 0x01000193) >>> 0

/** Identity of a weighted set of adapters, as the toy model feels it: the order of a mix does not matter. */
function adapterHash(entries: { digest: bigint; weight: number }[]): number {
  let sum = 0
  for (const { digest, weight } of entries) sum = (sum + mix(Number(digest & 0xffffffffn), Math.round(weight * 1000))) >>> 0
  return sum
}

const slotValue = (token: number, position: number, adapter: number) => mix(mix(mix(0x811c9dc5, token), position), adapter)

const nextToken = (seen: number, adapter: number) => mix(seen, adapter) % TOY_VOCABULARY

/** What a sequence must give: `count` tokens after the prompt. */
export function toyTokens(prompt: number[], adapters: { digest: string; weight: number }[], count: number): number[] {
  const adapter = adapterHash(adapters.map(({ digest, weight }) => ({ digest: BigInt(`0x${digest.slice(0, 16)}`), weight })))
  const tokens = [...prompt]
  let seen = 0x811c9dc5
  for (let p = 0; tokens.length < prompt.length + count; p++) {
    seen = mix(seen, slotValue(tokens[p], p, adapter))
    if (p === tokens.length - 1) tokens.push(nextToken(seen, adapter))
  }
  return tokens.slice(prompt.length)
}

/** The hidden state of a prompt's token at a position, and of what a sequence sees up to it. Shape: [2]. */
const hiddenState = (seen: number, position: number, adapter: number) => [nextToken(seen, adapter), position]

/** What a pooled sequence must give: its hidden states at positions [from, to), added and divided by their number. */
export function toyPooled(prompt: number[], adapters: { digest: string; weight: number }[], from: number, to: number): number[] {
  const sum = [0, 0]
  for (let p = from; p < to; p++) {
    const [token] = toyTokens(prompt.slice(0, p + 1), adapters, 1)
    sum[0] += token
    sum[1] += p
  }
  return [...Float32Array.from(sum, (value) => value / (to - from))]
}

/** A step as the toy model sees it. */
export interface ToyStep {
  sequences: { slot: number; past: number; tokens: number[]; rows: { position: number; scores: boolean }[]; summed: number[] }[]
}

/** A slot of the batch: what the sequence brought, its tokens so far and its block table. */
interface ToySlot {
  input: SlotInput
  tokens: number[]
  blocks: number[]
  /** Tokens known, or being sampled. */
  length: number
  inFlight: number
}

const MIN_TOKENS = 7 // its place among the options, runtime/sampling-options.ts

export class ToyEngine implements NativeEngine {
  readonly blockBytes = 4096
  readonly blockCount: number
  /** Images pinned now. */
  readonly pinned = new Set<ArrayBufferLike>()
  /** Set, to an empty list, to have copies take their time: the places in the table whose bytes are on their way, in order. See `arrive`. */
  copying: number[] | undefined
  /** Steps that had to wait for a copy. */
  stalls = 0
  steps = 0
  /** The most steps that have been in flight at once. */
  mostInFlight = 0
  /** Slots that are taken. */
  readonly slots = new Map<number, ToySlot>()
  /** Set to fail a step: gets it, throws. */
  beforeStep: ((step: ToyStep) => void) | undefined
  /** Set to say how many milliseconds a step took; otherwise one. */
  stepMs: ((step: ToyStep) => number) | undefined
  /** Set to refuse to pin an image: throws. */
  beforePin: (() => void) | undefined
  /** Set to refuse a sequence: gets it, throws. */
  beforeAdmit: ((sequence: SlotInput) => void) | undefined
  /** Set to refuse an adapter: gets it, throws. */
  beforePut: ((adapter: PackedAdapter) => void) | undefined
  private readonly cache: Uint32Array
  /** By frame: the residency whose rows were written there last, 0 for KV. */
  private readonly rows: Int32Array
  private readonly table = new Map<number, { generation: number; digest: bigint; frames: number[] }>()
  private readonly blockSize: number
  private readonly framesPerBlock: number
  private inFlight = 0
  /** Failed steps so far, and the end of the step queued last. */
  private failures = 0
  private last: Promise<unknown> = Promise.resolve()

  constructor(blockCount: number, blockSize: number, framesPerBlock = 1) {
    this.framesPerBlock = framesPerBlock
    this.rows = new Int32Array(blockCount * framesPerBlock)
    this.blockSize = blockSize
    this.blockCount = blockCount
    this.cache = new Uint32Array(blockCount * blockSize)
  }

  putAdapter(adapter: PackedAdapter): void {
    this.beforePut?.(adapter)
    const { framesPerBlock } = this
    const shared = Array.from(adapter.frames, (frame) => Math.floor(frame / framesPerBlock))
    for (const [slot, { blocks }] of this.slots)
      for (const block of [...adapter.blocks, ...shared])
        if (blocks.includes(block)) throw new RangeError(`block ${block} of the adapter is in slot ${slot}'s table`)
    this.copying?.push(adapter.index)
    const whole = Array.from(adapter.blocks, (block) =>
      Array.from({ length: framesPerBlock }, (_, i) => block * framesPerBlock + i),
    )
    const { index, generation, digest } = adapter
    this.table.set(index, { generation, digest, frames: [...whole.flat(), ...adapter.frames] })
    // Its rows overwrite whatever lay there, KV or another's, also under a step in flight.
    for (const frame of this.table.get(index)?.frames ?? []) this.rows[frame] = generation
    for (const block of [...adapter.blocks, ...shared])
      this.cache.fill(0xdeadbeef, block * this.blockSize, (block + 1) * this.blockSize)
  }

  pinImage(image: Uint8Array): void {
    this.beforePin?.()
    this.pinned.add(image.buffer)
  }

  unpinImage(image: Uint8Array): void {
    this.pinned.delete(image.buffer)
  }

  adapterReady(index: number): boolean {
    return !this.copying?.includes(index)
  }

  /** Lets the first `count` copies arrive. */
  arrive(count = Number.POSITIVE_INFINITY): void {
    this.copying?.splice(0, count)
  }

  dropAdapter(index: number): void {
    this.table.delete(index)
    this.copying = this.copying?.filter((one) => one !== index)
  }

  admit(input: SlotInput): void {
    this.beforeAdmit?.(input)
    if (this.slots.has(input.slot)) throw new RangeError(`slot ${input.slot} is taken`)
    const tokens = [...input.tokens]
    this.slots.set(input.slot, { input, tokens, blocks: [], length: tokens.length, inFlight: 0 })
  }

  addMasks(): void {}

  release(slot: number): void {
    if (this.slots.get(slot)?.inFlight) throw new RangeError(`slot ${slot} is named by a step in flight`)
    this.slots.delete(slot)
  }

  async step(batch: StepBatch): Promise<StepOutput> {
    if (this.inFlight === 2) throw new Error('two steps are in flight')
    const { step, used } = this.prepare(batch)
    this.mostInFlight = Math.max(this.mostInFlight, ++this.inFlight)
    const known = this.failures
    const before = this.last
    const run = async () => {
      await before
      await new Promise((resolve) => setImmediate(resolve))
      if (this.failures > known) throw Object.assign(new Error('a step before it failed'), { code: 'STEP_DROPPED' })
      this.steps++
      try {
        for (const { slot, past, tokens } of step.sequences) {
          const from = (this.slots.get(slot) as ToySlot).tokens
          for (let i = 0; i < tokens.length; i++) tokens[i] = from[past + i]
        }
        this.beforeStep?.(step)
        return this.compute(step)
      } catch (error) {
        this.failures++
        throw error
      }
    }
    const running = run()
    this.last = running.catch(() => {})
    try {
      return await running
    } catch (error) {
      for (const { slot, past, tokens, rows } of step.sequences)
        if (rows.some((row) => !row.scores)) used(slot).length = Math.min(used(slot).length, past + tokens.length)
      throw error
    } finally {
      this.inFlight--
      for (const { slot } of step.sequences) used(slot).inFlight--
    }
  }

  close(): void {}

  private prepare(batch: StepBatch): { step: ToyStep; used: (slot: number) => ToySlot } {
    for (let i = 0; i < batch.blocks.length; i += STEP_BLOCK_FIELDS) {
      const [slot, place, block] = batch.blocks.subarray(i, i + STEP_BLOCK_FIELDS)
      const { blocks } = this.slots.get(slot) as ToySlot
      if (place > blocks.length) throw new RangeError(`place ${place} of slot ${slot} follows none`)
      blocks[place] = block
    }
    const step: ToyStep = { sequences: [] }
    const named = new Map<number, ToySlot>()
    for (let i = 0; i < batch.sequences.length; i += STEP_SEQUENCE_FIELDS) {
      const [slot, past, count, scoreFrom, scored, samples, sumFrom, summed] = batch.sequences.subarray(
        i,
        i + STEP_SEQUENCE_FIELDS,
      )
      const taken = this.slots.get(slot)
      if (!taken || named.has(slot)) throw new RangeError(`slot ${slot} is free or named twice`)
      if (past < 0 || count < 1 || past + count > taken.length)
        throw new RangeError(`slot ${slot} has no tokens [${past}, +${count})`)
      if (samples && past + count !== taken.length) throw new RangeError(`slot ${slot} would sample in the middle`)
      if (Math.ceil((past + count) / this.blockSize) > taken.blocks.length) throw new RangeError(`slot ${slot} lacks blocks`)
      named.set(slot, taken)
      const rows = Array.from({ length: scored }, (_, k) => ({ position: scoreFrom + k, scores: true }))
      if (samples) rows.push({ position: past + count - 1, scores: false })
      if (summed > 0 && (sumFrom < past || sumFrom + summed > past + count))
        throw new RangeError(`slot ${slot} sums what it does not compute`)
      const positions = Array.from({ length: summed }, (_, k) => sumFrom + k)
      step.sequences.push({ slot, past, tokens: new Array(count).fill(0), rows, summed: positions })
    }
    for (const { slot, past, tokens, rows } of step.sequences) {
      const taken = named.get(slot) as ToySlot
      taken.inFlight++
      if (rows.some((row) => !row.scores)) taken.length = past + tokens.length + 1
    }
    return { step, used: (slot) => named.get(slot) as ToySlot }
  }

  private compute(step: ToyStep): StepOutput {
    const slots = step.sequences.map(({ slot }) => this.slots.get(slot) as ToySlot)
    const awaited = this.copying?.findLastIndex((index) => slots.some(({ input }) => input.entryAdapter.includes(index))) ?? -1
    if (awaited >= 0) this.stalls++
    this.arrive(awaited + 1)
    const tokens: number[] = []
    const stopped: number[] = []
    const sums: number[] = []
    const sequenceStatus = new Uint8Array(slots.length)
    for (const [b, { past, tokens: computed, rows, summed }] of step.sequences.entries()) {
      const slot = slots[b]
      const { entryAdapter, entryGeneration, entryDigest, entryWeight, promptLength, options, stopTokens } = slot.input
      const entries: { digest: bigint; weight: number }[] = []
      for (let e = 0; e < entryAdapter.length; e++) {
        const resident = this.table.get(entryAdapter[e])
        if (resident?.generation !== entryGeneration[e] || resident.digest !== entryDigest[e]) sequenceStatus[b] = 1
        // Rows that are another's by now, or KV, are other weights.
        const overwritten = resident?.frames.some((frame) => this.rows[frame] !== resident.generation)
        entries.push({ digest: overwritten ? ~entryDigest[e] & 0xffn : entryDigest[e], weight: entryWeight[e] })
      }
      const adapter = adapterHash(entries)
      const place = (p: number) => slot.blocks[Math.floor(p / this.blockSize)] * this.blockSize + (p % this.blockSize)
      for (let i = 0; i < computed.length; i++) {
        this.cache[place(past + i)] = slotValue(computed[i], past + i, adapter)
        const first = Math.floor(place(past + i) / this.blockSize) * this.framesPerBlock
        this.rows.fill(0, first, first + this.framesPerBlock)
      }
      const seenAt = (position: number) => {
        let seen = 0x811c9dc5
        for (let p = 0; p <= position; p++) seen = mix(seen, this.cache[place(p)])
        return seen
      }
      if (summed.length > 0) {
        const hidden = summed.map((position) => hiddenState(seenAt(position), position, adapter))
        sums.push(...[0, 1].map((i) => hidden.reduce((sum, one) => sum + one[i], 0)))
      }
      for (const { position, scores } of rows) {
        const seen = seenAt(position)
        const token = scores ? slot.tokens[position + 1] : nextToken(seen, adapter)
        tokens.push(token)
        stopped.push(!scores && position + 2 - promptLength >= options[MIN_TOKENS] && stopTokens.includes(token) ? 1 : 0)
        if (!scores) slot.tokens[position + 1] = token
      }
    }
    const count = tokens.length
    return {
      tokens: Int32Array.from(tokens),
      logprob: new Float32Array(count),
      rank: new Int32Array(count).fill(1),
      topStarts: new Int32Array(count + 1),
      topTokens: new Int32Array(0),
      topLogprobs: new Float32Array(0),
      ...(sums.length > 0 && { sums: Float64Array.from(sums) }),
      sequenceStatus,
      rowStatus: new Uint8Array(count),
      stopped: Uint8Array.from(stopped),
      runMs: this.stepMs?.(step) ?? 1,
      sampleMs: 0,
    }
  }
}
