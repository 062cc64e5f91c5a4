/** Metrics of the adapters' tiers above the pool: known, and in host memory. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import type { AdapterRegistry, HostMemory } from '../../adapters-store/index.ts'
import * as buckets from './buckets.ts'

export interface AdapterTierSources {
  registry: Pick<AdapterRegistry, 'get' | 'list' | 'counts'>
  memory: Pick<HostMemory, 'bytes' | 'count' | 'limit' | 'evictions'>
}

/** Registers them; returns what is to be told of each load that ended well, in seconds. */
export function tierMetrics(
  register: Registry,
  labels: Record<string, string>,
  { registry, memory }: AdapterTierSources,
): (seconds: number) => void {
  const labelNames = Object.keys(labels)
  const registers = [register]
  const gauge = (name: string, help: string, value: () => number) =>
    new Gauge({
      name,
      help,
      labelNames,
      registers,
      collect() {
        this.set(labels, value())
      },
    })
  gauge('lorikeet_known_adapters', 'Adapters that can be asked for.', () => registry.list().length)
  gauge('lorikeet_host_adapters', 'Adapters in host memory.', () => memory.count)
  gauge('lorikeet_host_memory_limit_bytes', 'Bytes that adapters may take of host memory.', () => memory.limit)
  new Gauge({
    name: 'lorikeet_host_memory_bytes',
    help: 'Bytes of adapters in host memory, and of those that are being loaded.',
    labelNames: [...labelNames, 'state'],
    registers,
    collect() {
      const { used, reserved } = memory.bytes
      this.set({ ...labels, state: 'used' }, used)
      this.set({ ...labels, state: 'reserved' }, reserved)
    },
  })
  new Counter({
    name: 'lorikeet_host_evictions_total',
    help: 'Adapters put out of host memory to make room.',
    labelNames,
    registers,
    collect() {
      this.reset()
      this.inc(labels, memory.evictions)
    },
  })
  new Counter({
    name: 'lorikeet_adapter_reads_total',
    help: 'Adapters read from disk or from the image cache, by how that ended.',
    labelNames: [...labelNames, 'result'],
    registers,
    collect() {
      this.reset()
      this.inc({ ...labels, result: 'loaded' }, registry.counts.loaded)
      this.inc({ ...labels, result: 'refused' }, registry.counts.refused)
    },
  })
  const seconds = new Histogram({
    name: 'lorikeet_adapter_read_seconds',
    help: 'Seconds that reading, checking, folding and packing an adapter took.',
    labelNames,
    buckets: buckets.READ,
    registers,
  })
  return (took) => seconds.observe(labels, took)
}
