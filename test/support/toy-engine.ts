/**
 * A native engine whose "model" remembers: a KV slot holds (token, position, adapter) of who wrote it, and the next token is a hash of all that a sequence sees
 * through its block table. So a wrong table, a stale block, a mixed-up adapter or a lost token gives other tokens than `toyTokens` computes without any cache.
 */
import type { NativeEngine, PackedAdapter, StepBatch, StepOutput } from '../../native/types.ts'

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
  /** Set to fail a step: gets the batch, throws. */
  beforeStep: ((batch: StepBatch) => void) | undefined
  /** Set to refuse to pin an image: throws. */
  beforePin: (() => void) | undefined
  /** Set to refuse an adapter: gets it, throws. */
  beforePut: ((adapter: PackedAdapter) => void) | undefined
  private readonly slots: Uint32Array
  private readonly table = new Map<number, { generation: number; digest: bigint; blocks: Int32Array }>()
  private readonly blockSize: number
  private busy = false

  constructor(blockCount: number, blockSize: number) {
    this.blockSize = blockSize
    this.blockCount = blockCount
    this.slots = new Uint32Array(blockCount * blockSize)
  }

  putAdapter(adapter: PackedAdapter): void {
    this.beforePut?.(adapter)
    this.copying?.push(adapter.index)
    this.table.set(adapter.index, { generation: adapter.generation, digest: adapter.digest, blocks: adapter.blocks })
    // Its rows overwrite whatever KV lay there.
    for (const block of adapter.blocks) this.slots.fill(0xdeadbeef, block * this.blockSize, (block + 1) * this.blockSize)
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

  async step(batch: StepBatch): Promise<StepOutput> {
    if (this.busy) throw new Error('a step is in flight')
    this.busy = true
    this.steps++
    try {
      await new Promise((resolve) => setImmediate(resolve))
      this.beforeStep?.(batch)
      return this.compute(batch)
    } finally {
      this.busy = false
    }
  }

  close(): void {}

  private compute(batch: StepBatch): StepOutput {
    const awaited = this.copying?.findLastIndex((index) => batch.entryAdapter.includes(index)) ?? -1
    if (awaited >= 0) this.stalls++
    this.arrive(awaited + 1)
    const rows = batch.logitsIndices.length
    const segments = batch.segmentStarts.length - 1
    const segmentStatus = new Uint8Array(segments)
    const adapters: number[] = []
    for (let s = 0; s < segments; s++) {
      const entries = []
      for (let e = batch.segmentEntries[s]; e < batch.segmentEntries[s + 1]; e++) {
        const resident = this.table.get(batch.entryAdapter[e])
        if (resident?.generation !== batch.entryGeneration[e] || resident.digest !== batch.entryDigest[e]) segmentStatus[s] = 1
        entries.push({ digest: batch.entryDigest[e], weight: batch.entryWeight[e] })
      }
      adapters.push(adapterHash(entries))
    }
    const tokens = new Int32Array(rows)
    const width = batch.blockTable.length / batch.pastSeqlens.length
    let row = 0
    let segment = 0
    for (let b = 0; b < batch.pastSeqlens.length; b++) {
      const start = batch.cumulativeSequenceLength[b]
      const end = batch.cumulativeSequenceLength[b + 1]
      while (batch.segmentStarts[segment + 1] <= start) segment++
      for (let t = start; t < end; t++) {
        const position = batch.pastSeqlens[b] + t - start
        this.slots[batch.slotMapping[t]] = slotValue(batch.inputIds[t], position, adapters[segment])
        if (row < rows && batch.logitsIndices[row] === t) {
          let seen = 0x811c9dc5
          for (let p = 0; p <= position; p++) {
            const block = batch.blockTable[b * width + Math.floor(p / this.blockSize)]
            seen = mix(seen, this.slots[block * this.blockSize + (p % this.blockSize)])
          }
          const target = batch.sampling.target[row]
          tokens[row++] = target >= 0 ? target : nextToken(seen, adapters[segment])
        }
      }
    }
    return {
      tokens,
      logprob: new Float32Array(rows),
      rank: new Int32Array(rows).fill(1),
      topStarts: new Int32Array(rows + 1),
      topTokens: new Int32Array(0),
      topLogprobs: new Float32Array(0),
      segmentStatus,
      rowStatus: new Uint8Array(rows),
      runMs: 1,
      sampleMs: 0,
    }
  }
}
