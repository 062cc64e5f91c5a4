/** Responses that can be continued or looked at: in memory, as many bytes of them as the server is given, each for its tenant alone. */
import type { EventLog } from './event-log.ts'
import type { Item, ResponseObject } from './response.ts'

export interface Stored {
  response: ResponseObject
  /** What the response answered: of the responses before it too, with their outputs. */
  items: readonly Item[]
  /** Ends a background response that is not over. */
  cancel?: () => void
  /** Of one that was made as a stream in the background. */
  events?: EventLog
}

interface Entry extends Stored {
  scope: string
  owner: string
  key: string
  bytes: number
}

/** What an object takes beside its texts, roughly. */
const OVERHEAD = 64

/** Bytes that a value takes, roughly: characters twice, and something for each field. */
function sizeOf(value: unknown): number {
  if (typeof value === 'string') return OVERHEAD + value.length * 2
  if (typeof value !== 'object' || value === null) return 8
  let bytes = OVERHEAD
  for (const [name, held] of Object.entries(value)) bytes += name.length + sizeOf(held)
  return bytes
}

/** Between scope and id, of which neither holds one. */
const BETWEEN = '\n'

export class ResponseStore {
  private readonly most: number
  /** In the order in which they were used last. */
  private readonly entries = new Map<string, Entry>()
  /** Where items are that references name. */
  private readonly items = new Map<string, Entry>()
  /** Bytes of each owner's. */
  private readonly taken = new Map<string, number>()
  private bytes = 0
  /** Sizes of items that are in some entry, which are many entries'. */
  private readonly sizes = new WeakMap<Item, number>()

  /** `most`: bytes of all together. */
  constructor(most: number) {
    this.most = most
  }

  get size(): number {
    return this.entries.size
  }

  /** Bytes that all take, roughly. */
  get held(): number {
    return this.bytes
  }

  /** Keeps it, in place of what had its id. What is larger than all may take together is not kept. `scope`: where it is found; `owner`: whose bytes it takes. */
  put(scope: string, stored: Stored, owner = scope): void {
    const { response, items } = stored
    this.delete(scope, response.id)
    const bytes = sizeOf(response) + items.reduce((sum, item) => sum + this.itemSize(item), 0) + (stored.events?.bytes ?? 0)
    if (bytes > this.most) return
    const key = scope + BETWEEN + response.id
    const entry: Entry = { ...stored, scope, owner, key, bytes }
    this.entries.set(key, entry)
    for (const item of [...items, ...response.output]) this.items.set(scope + BETWEEN + item.id, entry)
    this.count(owner, bytes)
    while (this.bytes > this.most) this.evict()
  }

  /** What is there of it takes so many bytes more. Nothing for one that is not there. */
  grow(scope: string, id: string, bytes: number): void {
    const entry = this.entries.get(scope + BETWEEN + id)
    if (!entry) return
    entry.bytes += bytes
    this.count(entry.owner, bytes)
    while (this.bytes > this.most) this.evict()
  }

  get(scope: string, id: string): Stored | undefined {
    const entry = this.entries.get(scope + BETWEEN + id)
    if (!entry) return undefined
    this.entries.delete(entry.key)
    this.entries.set(entry.key, entry)
    return entry
  }

  item(scope: string, id: string): Item | undefined {
    const entry = this.items.get(scope + BETWEEN + id)
    return entry && [...entry.items, ...entry.response.output].find((item) => item.id === id)
  }

  /** Whether there was one. */
  delete(scope: string, id: string): boolean {
    const entry = this.entries.get(scope + BETWEEN + id)
    if (entry) this.drop(entry)
    return entry !== undefined
  }

  /** What takes most gives way first, its oldest before its newest: nobody can push out the others'. */
  private evict(): void {
    let largest = ''
    for (const [owner, bytes] of this.taken) if (bytes > (this.taken.get(largest) ?? 0)) largest = owner
    for (const entry of this.entries.values())
      if (entry.owner === largest) {
        this.drop(entry)
        return
      }
  }

  private drop(entry: Entry): void {
    this.entries.delete(entry.key)
    for (const item of [...entry.items, ...entry.response.output]) {
      const key = entry.scope + BETWEEN + item.id
      if (this.items.get(key) === entry) this.items.delete(key)
    }
    this.count(entry.owner, -entry.bytes)
  }

  private count(owner: string, bytes: number): void {
    this.bytes += bytes
    const taken = (this.taken.get(owner) ?? 0) + bytes
    if (taken === 0) this.taken.delete(owner)
    else this.taken.set(owner, taken)
  }

  private itemSize(item: Item): number {
    const known = this.sizes.get(item)
    if (known !== undefined) return known
    const bytes = sizeOf(item) + OVERHEAD
    this.sizes.set(item, bytes)
    return bytes
  }
}
