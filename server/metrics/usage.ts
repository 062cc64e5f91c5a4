/**
 * What each tenant has had of each adapter. There may be thousands of either, so only as many pairs have series of their own as the page may name adapters: of more, those that were used longest ago are
 * counted together, as `other`. The page is scraped as often as every 50 ms: its lines are written from texts that stand ready.
 */
import type { RequestRecord } from '../records/record.ts'

const OUTCOMES = ['done', 'left', 'refused', 'failed'] as const
type Outcome = (typeof OUTCOMES)[number]

const SUMS = {
  prompt_tokens: 'Prompt tokens of requests, by tenant and adapter.',
  cached_tokens: 'Of these, found in the prefix cache.',
  generation_tokens: 'Tokens generated for requests.',
  queue_seconds: 'Seconds that requests waited for their first step.',
  device_seconds: "Seconds of steps, by each request's part of their tokens: what it cost.",
} as const
type Sum = keyof typeof SUMS

/** What all pairs beyond the most are counted as. No request that names nobody, and none of the base alone, is one of them. */
const OTHER = 'other'

interface Pair {
  /** `tenant="…",adapter="…"` */
  labels: string
  requests: Record<Outcome, number>
  sums: Record<Sum, number>
}

const quoted = (value: string) => `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`

const newPair = (tenant: string, adapter: string): Pair => ({
  labels: `tenant=${quoted(tenant)},adapter=${quoted(adapter)}`,
  requests: { done: 0, left: 0, refused: 0, failed: 0 },
  sums: { prompt_tokens: 0, cached_tokens: 0, generation_tokens: 0, queue_seconds: 0, device_seconds: 0 },
})

export class Usage {
  /** In order of last use. */
  private readonly pairs = new Map<string, Pair>()
  private readonly other = newPair(OTHER, OTHER)
  private folded = false
  private readonly most: number
  /** `model_name="…",engine="0"` */
  private readonly common: string

  constructor(labels: Record<string, string>, most: number) {
    this.most = Math.max(1, most)
    this.common = Object.entries(labels)
      .map(([name, value]) => `${name}=${quoted(value)}`)
      .join(',')
  }

  /** Counts a request that is over, and whose adapters are known. */
  readonly note = (record: RequestRecord): void => {
    const { taken, work } = record
    if (!taken) return
    const pair = this.pairOf(
      taken.tenant ?? '',
      taken.uses
        .map(({ name }) => name)
        .sort()
        .join(','),
    )
    pair.requests[record.outcome]++
    if (!work) return
    const { counts, times } = work
    pair.sums.prompt_tokens += counts.promptTokens
    pair.sums.cached_tokens += counts.cachedTokens
    pair.sums.generation_tokens += counts.completionTokens
    pair.sums.queue_seconds += Math.max(0, (times.scheduledAt ?? record.endedAt) - times.submittedAt) / 1000
    pair.sums.device_seconds += times.deviceMs / 1000
  }

  render(): string {
    const all = [...this.pairs.values(), ...(this.folded ? [this.other] : [])]
    const { common } = this
    let page = head('requests', 'Requests by tenant, adapter and how they ended.')
    for (const { labels, requests } of all)
      for (const outcome of OUTCOMES)
        page += `lorikeet_tenant_requests_total{${common},${labels},outcome="${outcome}"} ${requests[outcome]}\n`
    for (const [name, help] of Object.entries(SUMS) as [Sum, string][]) {
      page += head(name, help)
      for (const { labels, sums } of all) page += `lorikeet_tenant_${name}_total{${common},${labels}} ${sums[name]}\n`
    }
    return page
  }

  private pairOf(tenant: string, adapter: string): Pair {
    const key = JSON.stringify([tenant, adapter])
    let pair = this.pairs.get(key)
    if (pair) this.pairs.delete(key)
    else {
      if (this.pairs.size >= this.most) this.foldOldest()
      pair = newPair(tenant, adapter)
    }
    this.pairs.set(key, pair)
    return pair
  }

  private foldOldest(): void {
    for (const [key, { requests, sums }] of this.pairs) {
      this.pairs.delete(key)
      this.folded = true
      for (const outcome of OUTCOMES) this.other.requests[outcome] += requests[outcome]
      for (const name of Object.keys(SUMS) as Sum[]) this.other.sums[name] += sums[name]
      return
    }
  }
}

const head = (name: string, help: string) =>
  `# HELP lorikeet_tenant_${name}_total ${help}\n# TYPE lorikeet_tenant_${name}_total counter\n`
