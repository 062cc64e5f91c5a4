/** Who asks, and what is there for them. */
import type { AdapterCatalogue, AdapterRecord } from '../catalogue.ts'
import { matcher } from './globs.ts'
import type { KeyEntry } from './key.ts'
import { Quota } from './quota.ts'

/** What can be asked for by name. */
export type Seen = Pick<AdapterCatalogue, 'get' | 'list'>

export interface Caller {
  /** Absent where nobody has a key. */
  readonly tenant?: string
  readonly admin: boolean
  readonly quota: Quota
  /** Whether an adapter of that name would exist for the caller. */
  maySee(name: string): boolean
  /** The adapters that exist for the caller. */
  seen(adapters: AdapterCatalogue): Seen
}

/** Everybody, where there are no keys; they see what there is. */
export const anyone = (): Caller => ({ admin: true, quota: new Quota({}), maySee: () => true, seen: (adapters) => adapters })

/** Who holds a key. It lives as long as the key: what it has in flight and has spent is its own. */
export class KeyHolder implements Caller {
  readonly quota: Quota
  private entry: KeyEntry
  private pattern: ((name: string) => boolean) | undefined
  private view: { of: AdapterCatalogue; adapters: Seen } | undefined

  constructor(entry: KeyEntry) {
    this.entry = entry
    this.quota = new Quota(entry)
    this.pattern = patternOf(entry.adapters)
  }

  get tenant(): string {
    return this.entry.tenant
  }

  get admin(): boolean {
    return this.entry.admin
  }

  get sha256(): string {
    return this.entry.sha256
  }

  /** The same key with another entry. */
  change(entry: KeyEntry): void {
    this.entry = entry
    this.quota.change(entry)
    this.pattern = patternOf(entry.adapters)
    this.view = undefined
  }

  maySee(name: string): boolean {
    return this.pattern?.(name) ?? true
  }

  seen(adapters: AdapterCatalogue): Seen {
    const { pattern } = this
    if (!pattern) return adapters
    if (this.view?.of !== adapters) this.view = { of: adapters, adapters: new Part(adapters, pattern) }
    return this.view.adapters
  }
}

/** Those adapters whose names match. */
class Part implements Seen {
  private readonly whole: AdapterCatalogue
  private readonly pattern: (name: string) => boolean
  private listed: { of: readonly AdapterRecord[]; list: readonly AdapterRecord[] } | undefined

  constructor(whole: AdapterCatalogue, pattern: (name: string) => boolean) {
    this.whole = whole
    this.pattern = pattern
  }

  get(name: string): AdapterRecord | undefined {
    return this.pattern(name) ? this.whole.get(name) : undefined
  }

  list(): readonly AdapterRecord[] {
    const of = this.whole.list()
    if (this.listed?.of !== of) this.listed = { of, list: of.filter(({ name }) => this.pattern(name)) }
    return this.listed.list
  }
}

/** undefined: all. */
function patternOf(adapters: readonly string[] | undefined): ((name: string) => boolean) | undefined {
  return adapters === undefined || adapters.includes('*') ? undefined : matcher(adapters)
}
