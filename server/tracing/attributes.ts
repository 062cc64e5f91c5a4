/** What spans say of a request: OpenTelemetry's names for HTTP and for generative AI, vLLM's for the times that those have none for, ours for adapters and tenants. */
import type { Attributes } from '@opentelemetry/api'
import type { RequestRecord } from '../records/record.ts'

export function httpAttributes({ origin, status, error }: RequestRecord): Attributes {
  return {
    'http.request.method': origin.socket ? 'GET' : origin.method,
    'http.route': origin.route,
    'lorikeet.request_id': origin.id,
    ...(origin.socket && { 'network.protocol.name': 'websocket' }),
    ...(status !== undefined && { 'http.response.status_code': status }),
    ...(error && { 'error.type': error.code }),
  }
}

const seconds = (from: number | undefined, to: number | undefined) =>
  from === undefined || to === undefined ? undefined : Math.max(0, to - from) / 1000

/** Of a record whose adapters are known. Of its texts nothing. */
export function genAiAttributes(record: RequestRecord): Attributes {
  const { taken, work, error, origin, startedAt, endedAt } = record
  if (!taken) return {}
  const { kind, model, base, uses, tenant, sampling } = taken
  const { submittedAt, scheduledAt, firstTokenAt, lastAt, deviceMs } = work?.times ?? {}
  return {
    'gen_ai.operation.name': kind,
    'gen_ai.provider.name': 'lorikeet',
    'gen_ai.request.model': model,
    'gen_ai.response.model': model,
    'gen_ai.request.id': origin.id,
    ...(sampling && {
      'gen_ai.request.max_tokens': sampling.maxTokens,
      'gen_ai.request.temperature': sampling.temperature,
      'gen_ai.request.top_p': sampling.topP,
    }),
    ...(work && {
      'gen_ai.usage.input_tokens': work.counts.promptTokens,
      'gen_ai.usage.output_tokens': work.counts.completionTokens,
      'gen_ai.usage.cache_read.input_tokens': work.counts.cachedTokens,
      'gen_ai.response.finish_reasons': [...new Set(work.finishes)],
    }),
    'gen_ai.latency.time_in_queue': seconds(submittedAt, scheduledAt),
    'gen_ai.latency.time_to_first_token': seconds(startedAt, firstTokenAt),
    'gen_ai.latency.time_in_model_prefill': seconds(scheduledAt, firstTokenAt),
    'gen_ai.latency.time_in_model_decode': seconds(firstTokenAt, lastAt),
    'gen_ai.latency.e2e': seconds(startedAt, endedAt),
    'lorikeet.base_model': base,
    'lorikeet.adapters': uses.map(({ name }) => name),
    'lorikeet.digests': uses.map(({ digest }) => digest),
    'lorikeet.tenant': tenant,
    ...(deviceMs !== undefined && { 'lorikeet.device_seconds': deviceMs / 1000 }),
    ...(error && { 'error.type': error.code }),
  }
}
