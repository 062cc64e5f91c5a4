/** Adapters that come into the pool and go from it, by why. */
import { Counter, type Registry } from 'prom-client'
import type { EngineSnapshot } from '../../runtime/index.ts'

export function turnoverMetrics(
  register: Registry,
  labels: Record<string, string>,
  counters: () => EngineSnapshot['counters'],
): void {
  const counter = (name: string, help: string, byReason: (now: EngineSnapshot['counters']) => Record<string, number>) =>
    new Counter({
      name,
      help,
      labelNames: [...Object.keys(labels), 'reason'],
      registers: [register],
      collect() {
        this.reset()
        for (const [reason, count] of Object.entries(byReason(counters()))) this.inc({ ...labels, reason }, count)
      },
    })
  counter(
    'lorikeet_adapter_loads_total',
    'Adapters brought into the pool, by why: their request is next, or waits.',
    ({ adapterLoads, prefetchedLoads }) => ({ request: adapterLoads - prefetchedLoads, prefetch: prefetchedLoads }),
  )
  counter(
    'lorikeet_adapter_evictions_total',
    'Adapters put out of the pool, by why.',
    ({ adapterEvictions, repackedEvictions, removedEvictions }) => ({
      room: adapterEvictions - repackedEvictions,
      shared_frames: repackedEvictions,
      removed: removedEvictions,
    }),
  )
}
