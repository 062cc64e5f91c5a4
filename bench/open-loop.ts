/** A trace of requests sent at their times whatever the server does (open loop), and what S-LoRA reports of it. */
import { Agent } from 'node:http'
import { streamCompletion, type Timed } from './clients.ts'
import { quantile, sleep } from './report.ts'

/** Of slora_trace.py: seconds, tokens, and the adapter's number. */
export interface TraceRequest {
  adapter: number
  prompt: number
  output: number
  at: number
}

export interface Driven {
  /** From the first to the last token of all. */
  seconds: number
  /** undefined: refused. */
  answers: (Timed | undefined)[]
  /** Milliseconds by which the latest request was sent late: the sender's own fault. */
  late: number
}

export async function drive(
  url: string,
  requests: readonly TraceRequest[],
  modelOf: (adapter: number) => string,
  promptFor: (i: number, length: number) => number[],
): Promise<Driven> {
  const agent = new Agent({ keepAlive: true, maxSockets: Number.POSITIVE_INFINITY })
  const started = performance.now()
  let late = 0
  const answers = await Promise.all(
    requests.map(async ({ adapter, prompt, output, at }, i) => {
      const due = started + at * 1e3
      await sleep(Math.max(0, due - performance.now()))
      late = Math.max(late, performance.now() - due)
      const ask = { model: modelOf(adapter), prompt: promptFor(i, prompt), maxTokens: output }
      return await streamCompletion(url, agent, ask).catch((error: Error) => {
        // Told to come again: early abort.
        if (error.message.startsWith('status 429')) return undefined
        throw error
      })
    }),
  )
  const seconds = (performance.now() - started) / 1e3
  agent.destroy()
  return { seconds, answers, late }
}

/** Completed over the wall time with drain, first-token latency, and the share of first tokens within `sloMs`. */
export function summaryOf(requests: readonly TraceRequest[], { seconds, answers }: Driven, sloMs: number) {
  const served = answers.filter((one): one is Timed => one !== undefined)
  const first = served.map((one) => one.firstToken)
  return {
    requestsPerS: served.length / seconds,
    tokensPerS: served.reduce((sum, one) => sum + one.tokens, 0) / seconds,
    promptTokensPerS: requests.reduce((sum, one) => sum + one.prompt, 0) / seconds,
    firstTokenMs: {
      mean: first.reduce((a, b) => a + b, 0) / first.length,
      p50: quantile(first, 0.5),
      p99: quantile(first, 0.99),
    },
    slo: first.filter((ms) => ms <= sloMs).length / answers.length,
  }
}
