/** Traces, where there is a collector for them. */
import type { Traces } from './traces-types.ts'

/** Loads OpenTelemetry. `warn` is told, once a minute at most, that spans cannot be sent. */
export async function startTraces(url: string, warn: (message: string) => void): Promise<Traces> {
  const { OtlpTraces } = await import('./traces.ts')
  return new OtlpTraces(url, warn)
}
