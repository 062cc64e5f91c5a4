/** A server on a device, with what its metrics say. */
import type { Device } from '../../native/types.ts'
import { metricOf, startServer as start } from '../server-process.ts'

export interface ServedProcess {
  url: string
  /** Seconds from the start of the process until it listened. */
  loadSeconds: number
  /** Value of a metric without labels (the sum over its labels), from /metrics. */
  metric(name: string): Promise<number>
  close(): Promise<void>
}

/** `flags` are those of `lorikeet serve`. Rejects with what the server said if it ends before it listens. */
export async function startServer(model: string, device: Device, flags: Record<string, string | number>): Promise<ServedProcess> {
  const given = Object.entries({ device, 'served-model-name': 'base', 'log-level': 'error', ...flags })
  const started = performance.now()
  const { url, close } = await start([model, ...given.flatMap(([name, value]) => [`--${name}`, String(value)])])
  return {
    url,
    loadSeconds: (performance.now() - started) / 1e3,
    metric: (name) => metricOf(url, name),
    close,
  }
}
