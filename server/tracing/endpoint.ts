/** Where spans are sent, as the flag or OpenTelemetry's variables say. */
import { ConfigError } from '../config/values.ts'

/** By custom a collector takes gRPC there. */
const GRPC_PORT = '4317'

/** The collector's URL, whole; undefined: nothing is traced. `flag`: --otlp-traces-endpoint. Throws ConfigError for what cannot be spoken here. */
export function tracesEndpoint(flag: string | undefined, environment: Record<string, string | undefined>): string | undefined {
  const said = (name: string) => environment[name]?.trim() || undefined
  if (said('OTEL_SDK_DISABLED')?.toLowerCase() === 'true') return undefined
  const base = said('OTEL_EXPORTER_OTLP_ENDPOINT')
  // An operator's whole environment may have it for others, who send no traces.
  if (flag === undefined && said('OTEL_TRACES_EXPORTER') === 'none') return undefined
  const own = said('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT')
  const url = flag ?? own ?? (base && `${base.replace(/\/$/, '')}/v1/traces`)
  if (url === undefined) return undefined
  const source =
    flag !== undefined ? '--otlp-traces-endpoint' : own ? 'OTEL_EXPORTER_OTLP_TRACES_ENDPOINT' : 'OTEL_EXPORTER_OTLP_ENDPOINT'
  if (!/^https?:\/\/[^/]/i.test(url) || !URL.canParse(url))
    throw new ConfigError(
      `${source} must be the URL of a collector that takes OTLP over HTTP, like http://localhost:4318/v1/traces, not ${url}`,
    )
  for (const name of ['OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL']) {
    const protocol = said(name)
    if (protocol === 'http/protobuf') break
    if (protocol !== undefined)
      throw new ConfigError(
        `${name} is ${protocol}, and traces are sent by http/protobuf alone: set it to that, with the port of OTLP over HTTP`,
      )
  }
  return url
}

/** What is most likely wrong with it; undefined: nothing that can be seen. */
export function endpointWarning(url: string): string | undefined {
  if (new URL(url).port !== GRPC_PORT) return undefined
  return `traces are sent to ${url} by OTLP over HTTP; a collector's port ${GRPC_PORT} takes gRPC as a rule, and 4318 HTTP`
}
