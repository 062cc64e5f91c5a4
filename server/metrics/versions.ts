/** What is told of names that stand for two versions. Read when the page is made, so that a name's series end with its canary. */
import { Counter, Gauge, type Registry } from 'prom-client'

/** A name with a canary. */
export interface VersionedName {
  readonly name: string
  /** undefined: not known yet. */
  readonly digest?: string
  readonly canary?: {
    readonly adapter: { readonly digest?: string }
    readonly identity: string
    readonly share: number
    readonly requests: { readonly main: number; readonly canary: number; readonly fallbacks: number }
  }
}

/** Names that the page has at most: it is read often. */
const MOST = 50
/** Digits of a digest that the page has: as many as tell versions apart. */
const DIGITS = 12

type Labels = { model_name: string; engine: string }

export function versionMetrics(registry: Registry, labels: Labels, names: () => readonly VersionedName[]): void {
  const own = Object.keys(labels)
  const each = function* () {
    for (const { name: adapter, digest = '', canary } of names().slice(0, MOST))
      if (canary) yield { adapter, digest: digest.slice(0, DIGITS), canary }
  }
  new Counter({
    name: 'lorikeet_adapter_version_requests_total',
    help: 'Requests of adapters that have a canary, by the version that answered.',
    labelNames: [...own, 'adapter', 'version', 'digest'],
    registers: [registry],
    collect() {
      this.reset()
      for (const { adapter, digest, canary } of each()) {
        const other = (canary.adapter.digest ?? canary.identity).slice(0, DIGITS)
        this.inc({ ...labels, adapter, version: 'main', digest }, canary.requests.main)
        this.inc({ ...labels, adapter, version: 'canary', digest: other }, canary.requests.canary)
      }
    },
  })
  new Counter({
    name: 'lorikeet_adapter_canary_fallbacks_total',
    help: "Requests that were a canary's and answered by the main version, since the canary could not be loaded.",
    labelNames: [...own, 'adapter'],
    registers: [registry],
    collect() {
      this.reset()
      for (const { adapter, canary } of each()) this.inc({ ...labels, adapter }, canary.requests.fallbacks)
    },
  })
  new Gauge({
    name: 'lorikeet_adapter_canary_share',
    help: "Part of an adapter's requests that its canary takes.",
    labelNames: [...own, 'adapter'],
    registers: [registry],
    collect() {
      this.reset()
      for (const { adapter, canary } of each()) this.set({ ...labels, adapter }, canary.share)
    },
  })
}
