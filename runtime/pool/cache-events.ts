/**
 * What came into the prefix cache and what left it, in order, for those who route by it (docs/kv-events.md). Made only where somebody listens. What is kept is bounded by the pool: where the listener is
 * behind, `fold` takes out blocks that came and left unseen, so that a slow listener costs memory for what is cached and never an event.
 */
import type { AdapterUse, CacheEvent } from '../types.ts'

/** What is told of a sequence (scheduler/sequence.ts). */
interface Sequence {
  readonly tokens: readonly number[]
  readonly uses: readonly AdapterUse[]
  readonly request: { readonly cacheSalt?: string; readonly tenant?: string }
  hash(i: number, blockSize: number): string
  cacheKey(i: number, blockSize: number): string
}

interface Record {
  hash: string
  /** Of one that came. */
  stored?: { parent: string | undefined; tokens: number[]; sequence: Sequence; adapted: boolean }
}

/** Records below which folding is not worth its time. */
const FEW = 1024

export class CacheEvents {
  private records: Record[] = []
  /** Records from which on the next folding is due: what it leaves is at least half of them. */
  private foldAt = FEW

  get empty(): boolean {
    return this.records.length === 0
  }

  /** Full block `i` of the sequence can be found from now on. */
  stored(sequence: Sequence, i: number, blockSize: number): void {
    const parent = i > 0 ? sequence.hash(i - 1, blockSize) : undefined
    const tokens = sequence.tokens.slice(i * blockSize, (i + 1) * blockSize)
    const adapted = sequence.cacheKey(i, blockSize) !== ''
    this.records.push({ hash: sequence.hash(i, blockSize), stored: { parent, tokens, sequence, adapted } })
  }

  removed(hash: string): void {
    this.records.push({ hash })
  }

  /** Takes out pairs of which nobody needs to know: it came and left again. */
  fold(): void {
    if (this.records.length < this.foldAt) return
    const kept: (Record | undefined)[] = []
    const came = new Map<string, number>()
    for (const record of this.records) {
      const at = came.get(record.hash)
      if (record.stored) came.set(record.hash, kept.length)
      else if (at !== undefined) {
        kept[at] = undefined
        came.delete(record.hash)
        continue
      }
      kept.push(record)
    }
    this.records = kept.filter((record) => record !== undefined)
    this.foldAt = Math.max(FEW, 2 * this.records.length)
  }

  /** All since the last call: blocks of a sequence that follow each other are one event, and so are those that left one after the other. */
  take(): CacheEvent[] {
    const events: CacheEvent[] = []
    let before: Record | undefined
    for (const record of this.records) {
      const { hash, stored } = record
      const last = events.at(-1)
      if (!stored) {
        if (last?.type === 'removed') last.hashes.push(hash)
        else events.push({ type: 'removed', hashes: [hash] })
      } else if (last?.type === 'stored' && before?.stored && follows(record, before)) {
        last.hashes.push(hash)
        for (const token of stored.tokens) last.tokens.push(token)
      } else {
        const { parent, tokens, sequence, adapted } = stored
        const { cacheSalt, tenant } = sequence.request
        const uses = adapted ? [...sequence.uses] : []
        events.push({ type: 'stored', hashes: [hash], parent, tokens: [...tokens], adapters: uses, cacheSalt, tenant })
      }
      before = record
    }
    this.records = []
    this.foldAt = FEW
    return events
  }
}

function follows({ stored }: Record, before: Record): boolean {
  const other = before.stored
  return (
    stored !== undefined &&
    other !== undefined &&
    stored.parent === before.hash &&
    stored.sequence === other.sequence &&
    stored.adapted === other.adapted
  )
}
