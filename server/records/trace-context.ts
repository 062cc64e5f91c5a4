/** W3C Trace Context (https://www.w3.org/TR/trace-context/): what a request's headers say of the trace that it belongs to. */

export interface TraceContext {
  /** 32 and 16 hexadecimal digits. */
  traceId: string
  spanId: string
  /** Whoever began the trace keeps it. */
  sampled: boolean
  /** Other systems' part of it, as it came. */
  state: string | undefined
}

/** Version 00, or a later one that begins alike; ff is none. */
const PARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
/** Characters of a state that are passed on. */
const LONGEST_STATE = 512

/** undefined: the request belongs to none, or says so in a form that is none. */
export function parentOf(headers: Readonly<Record<string, string | string[] | undefined>>): TraceContext | undefined {
  const { traceparent, tracestate } = headers
  if (typeof traceparent !== 'string') return undefined
  const found = PARENT.exec(traceparent.trim())
  if (!found || (traceparent.startsWith('00') && found[4] !== undefined)) return undefined
  const state = typeof tracestate === 'string' && tracestate.length <= LONGEST_STATE ? tracestate : undefined
  return { traceId: found[1], spanId: found[2], sampled: (Number.parseInt(found[3], 16) & 1) === 1, state }
}
