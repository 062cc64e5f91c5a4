/** The page's list of adapters: found, sorted and described on the server, so that the browser holds those that are seen and not all ten thousand. */
import type { Adapter } from '../../adapters-store/index.ts'
import type { Engine } from '../../runtime/index.ts'
import type { AdapterManagement } from '../adapter-management.ts'

export const SORTS = ['traffic', 'name', 'tier'] as const

export interface RowsAsked {
  /** Part of the name; '' is all. */
  find: string
  sort: (typeof SORTS)[number]
  from: number
  count: number
}

export const MOST_ROWS = 100
/** Seconds that a request counts for the traffic of its adapter, on average. */
const MEMORY = 10
/** Requests a second below which an adapter counts as one without traffic. */
const LEAST_RATE = 1e-3

interface Traffic {
  uses: number
  /** Requests a second, smoothed. */
  rate: number
}

export class AdapterRows {
  private readonly management: AdapterManagement
  private readonly engine: Pick<Engine, 'residents'>
  private traffic = new WeakMap<Adapter, Traffic>()
  private total = 0
  private at: number | undefined

  constructor(management: AdapterManagement, engine: Pick<Engine, 'residents'>) {
    this.management = management
    this.engine = engine
  }

  /** Counts what has come since the last call; once a second or so while somebody looks. */
  measure(now = performance.now()): void {
    const seconds = this.at === undefined ? 0 : (now - this.at) / 1000
    this.at = now
    const weight = 1 - Math.exp(-seconds / MEMORY)
    this.total = 0
    for (const adapter of this.management.all()) {
      const uses = usesOf(adapter)
      const known = this.traffic.get(adapter)
      if (!known || seconds === 0) {
        this.traffic.set(adapter, { uses, rate: known?.rate ?? 0 })
        continue
      }
      known.rate += (Math.max(0, uses - known.uses) / seconds - known.rate) * weight
      if (known.rate < LEAST_RATE) known.rate = 0
      known.uses = uses
      this.total += known.rate
    }
  }

  /** What comes from now on counts, unless it does already. */
  begin(): void {
    if (this.at === undefined) this.measure()
  }

  /** Nobody looks any more: what comes until somebody does again is not a rate. */
  rest(): void {
    this.at = undefined
    this.traffic = new WeakMap()
  }

  rows({ find, sort, from, count }: RowsAsked): object {
    const all = this.management.all()
    const wanted = find.toLowerCase()
    const found = wanted === '' ? [...all] : all.filter(({ name }) => name.toLowerCase().includes(wanted))
    // Sorting keeps the order of names within equals.
    if (sort === 'traffic') found.sort((a, b) => this.rateOf(b) - this.rateOf(a))
    else if (sort === 'tier') found.sort((a, b) => this.tierOf(a) - this.tierOf(b))
    return {
      type: 'adapters',
      known: all.length,
      found: found.length,
      from,
      rows: found.slice(from, from + Math.min(count, MOST_ROWS)).map((adapter) => ({
        ...this.management.describe(adapter),
        tier: TIERS[this.tierOf(adapter)],
        rate: Number(this.rateOf(adapter).toPrecision(3)),
        traffic: this.total > 0 ? Number((this.rateOf(adapter) / this.total).toFixed(4)) : 0,
      })),
    }
  }

  /** The first names that hold a text, those that begin with it before the others. */
  names(find: string, count: number): string[] {
    const wanted = find.toLowerCase()
    const beginning: string[] = []
    const others: string[] = []
    for (const { name, refusal } of this.management.all()) {
      if (refusal !== undefined) continue
      const at = name.toLowerCase().indexOf(wanted)
      if (at === 0) beginning.push(name)
      else if (at > 0 && others.length < count) others.push(name)
      if (beginning.length === count) break
    }
    return [...beginning, ...others].slice(0, count)
  }

  private rateOf(adapter: Adapter): number {
    return this.traffic.get(adapter)?.rate ?? 0
  }

  private tierOf({ digest, image, refusal }: Adapter): number {
    if (digest !== undefined && this.engine.residents.has(digest)) return 0
    if (image) return 1
    return refusal === undefined ? 2 : 3
  }
}

const TIERS = ['pool', 'host', 'disk', 'refused']

const usesOf = ({ uses, canary }: Adapter) => uses + (canary?.adapter.uses ?? 0)
