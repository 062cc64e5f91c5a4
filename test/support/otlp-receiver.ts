/** A collector that takes spans: OTLP over HTTP, decoded by protobufjs from the messages' published numbers (opentelemetry-proto, trace.proto and common.proto), so that nothing of the sender's is believed. */
import { createServer, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout } from 'node:timers/promises'
import { gunzipSync } from 'node:zlib'
import protobuf from 'protobufjs'

const SCHEMA = `
syntax = "proto3";
message AnyValue { oneof value { string stringValue = 1; bool boolValue = 2; int64 intValue = 3; double doubleValue = 4; ArrayValue arrayValue = 5; } }
message ArrayValue { repeated AnyValue values = 1; }
message KeyValue { string key = 1; AnyValue value = 2; }
message Resource { repeated KeyValue attributes = 1; }
message Status { string message = 2; int32 code = 3; }
message Span {
  bytes traceId = 1; bytes spanId = 2; string traceState = 3; bytes parentSpanId = 4; string name = 5; int32 kind = 6;
  fixed64 startTimeUnixNano = 7; fixed64 endTimeUnixNano = 8; repeated KeyValue attributes = 9; Status status = 15;
}
message ScopeSpans { repeated Span spans = 2; }
message ResourceSpans { Resource resource = 1; repeated ScopeSpans scopeSpans = 2; }
message Export { repeated ResourceSpans resourceSpans = 1; }
`
const Export = protobuf.parse(SCHEMA, { keepCase: true }).root.lookupType('Export')

export interface ReceivedSpan {
  name: string
  /** Hexadecimal; parentId '' for a root. */
  traceId: string
  spanId: string
  parentId: string
  traceState: string
  /** 1 internal, 2 server. */
  kind: number
  /** Milliseconds since epoch. */
  from: number
  to: number
  attributes: Record<string, unknown>
  /** 2: an error. */
  status: number
  resource: Record<string, unknown>
}

interface Value {
  stringValue?: string
  boolValue?: boolean
  intValue?: string
  doubleValue?: number
  arrayValue?: { values: Value[] }
}
type Attributes = { key: string; value: Value }[]

function readValue({ stringValue, boolValue, intValue, doubleValue, arrayValue }: Value): unknown {
  if (arrayValue) return arrayValue.values.map(readValue)
  return intValue === undefined ? (stringValue ?? boolValue ?? doubleValue) : Number(intValue)
}
const attributesOf = (list: Attributes = []) => Object.fromEntries(list.map(({ key, value }) => [key, readValue(value)]))
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const ms = (nano: string) => Number(BigInt(nano) / 1000n) / 1000

interface RawSpan {
  name: string
  traceId: Uint8Array
  spanId: Uint8Array
  parentSpanId?: Uint8Array
  traceState?: string
  kind: number
  startTimeUnixNano: string
  endTimeUnixNano: string
  attributes: Attributes
  status?: { code: number }
}

function spansOf(body: Buffer): ReceivedSpan[] {
  const { resourceSpans } = Export.toObject(Export.decode(body), { longs: String, arrays: true, defaults: false }) as {
    resourceSpans: { resource: { attributes: Attributes }; scopeSpans: { spans: RawSpan[] }[] }[]
  }
  return resourceSpans.flatMap(({ resource, scopeSpans }) =>
    scopeSpans.flatMap(({ spans }) =>
      spans.map((span) => ({
        name: span.name,
        traceId: hex(span.traceId),
        spanId: hex(span.spanId),
        parentId: hex(span.parentSpanId ?? new Uint8Array()),
        traceState: span.traceState ?? '',
        kind: span.kind,
        from: ms(span.startTimeUnixNano),
        to: ms(span.endTimeUnixNano),
        attributes: attributesOf(span.attributes),
        status: span.status?.code ?? 0,
        resource: attributesOf(resource.attributes),
      })),
    ),
  )
}

export interface OtlpReceiver {
  /** Of the whole endpoint. */
  url: string
  spans: ReceivedSpan[]
  /** Of each request that came. */
  requests: { path: string | undefined; headers: IncomingHttpHeaders }[]
  /** What it answers from now on. */
  status: number
  /** Those of the trace in which a span has the request's id, once that has come. */
  traceOf(requestId: string): Promise<ReceivedSpan[]>
}

export async function otlpReceiver(t: { teardown(handler: () => unknown): unknown }): Promise<OtlpReceiver> {
  const spans: ReceivedSpan[] = []
  const requests: OtlpReceiver['requests'] = []
  const server = createServer(async (request, response) => {
    const body = Buffer.concat(await request.toArray())
    requests.push({ path: request.url, headers: request.headers })
    if (receiver.status === 200) spans.push(...spansOf(request.headers['content-encoding'] === 'gzip' ? gunzipSync(body) : body))
    response.writeHead(receiver.status, { 'content-type': 'application/x-protobuf' }).end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const receiver: OtlpReceiver = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/traces`,
    spans,
    requests,
    status: 200,
    async traceOf(requestId) {
      for (let i = 0; i < 1000; i++) {
        const found = spans.find(({ attributes }) => attributes['lorikeet.request_id'] === requestId)
        // A request's spans are made in one go, but may be sent in two.
        if (found) {
          await setTimeout(100)
          return spans.filter(({ traceId }) => traceId === found.traceId)
        }
        await setTimeout(10)
      }
      throw new Error(`no span of ${requestId} came`)
    },
  }
  return receiver
}
