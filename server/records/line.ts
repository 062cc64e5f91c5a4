/** A request's line in the log. Of its texts nothing stands there that was not asked for: an error is told by its code, since messages quote what was wrong. */
import type { RequestRecord } from './record.ts'

/** Milliseconds, with what a reader can use of their fraction. */
const rounded = (ms: number) => Math.round(ms * 10) / 10

export function lineOf(record: RequestRecord): object {
  const { origin, taken, work, error, status, parent, trace, prompt, outputs } = record
  const { promptTokens, cachedTokens, completionTokens } = work?.counts ?? {}
  const traceId = trace?.traceId ?? parent?.traceId
  return {
    reqId: origin.id,
    route: `${origin.method} ${origin.route}`,
    ...(status !== undefined && { status }),
    ...(error && { error: error.code, param: error.param, ...(error.limit && { limit: error.limit }) }),
    ...(taken && {
      ...(taken.tenant !== undefined && { tenant: taken.tenant }),
      model: taken.model,
      adapters: taken.uses.map(({ name }) => name),
      digests: taken.uses.map(({ digest }) => digest),
    }),
    ...(work && {
      promptTokens,
      cachedTokens,
      completionTokens,
      finishReasons: [...new Set(work.finishes)],
      deviceMs: rounded(work.times.deviceMs),
    }),
    ...record.waits,
    ...(taken?.read && { readMs: taken.read.to - taken.read.from }),
    ms: rounded(record.ms),
    ...(traceId !== undefined && { traceId }),
    ...(trace && { spanId: trace.spanId }),
    ...(prompt !== undefined && { prompt }),
    ...(outputs.length > 0 && { outputs }),
  }
}
