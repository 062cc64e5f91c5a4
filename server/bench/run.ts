/** Puts load on a server: every request at its time, as many in flight as are allowed. */
import { Agent } from 'node:http'
import { Agent as HttpsAgent } from 'node:https'
import { setTimeout } from 'node:timers/promises'
import type { BenchOptions } from './options.ts'
import { type Outcome, stream, type Target } from './request.ts'
import { listedModels, ordinaryTokens, textOf } from './server-facts.ts'
import { type Ask, workload } from './workload.ts'

export interface Run {
  /** What is named in the result: `--model`, or the first that the server lists. */
  model: string
  /** Adapters that were named, or none. */
  adapters: readonly string[]
  /** In the order in which they were due. */
  outcomes: Outcome[]
  seconds: number
  /** Milliseconds that each waited for a place (max-concurrency), in the same order. */
  queued: number[]
  /** Milliseconds by which the latest was sent late, not counting that: the sender's own fault. */
  late: number
}

/** `onEnd` is told of each that has ended. Rejects where the server cannot be reached or lacks what is asked for. */
export async function run(options: BenchOptions, onEnd: () => void = () => {}): Promise<Run> {
  const { url, endpoint, headers, insecure, concurrency = Number.POSITIVE_INFINITY } = options
  const pool = { keepAlive: true, maxSockets: Number.POSITIVE_INFINITY, maxFreeSockets: 4096 }
  const agent = url.startsWith('https:') ? new HttpsAgent({ ...pool, rejectUnauthorized: !insecure }) : new Agent(pool)
  const target: Target = { url: `${url}${endpoint}`, agent, headers }
  try {
    const listed = await listedModels(url, target)
    const model = options.model ?? listed[0].id
    const adapters =
      options.loraModules ??
      firstAdapters(
        listed.flatMap(({ id, parent }) => (parent ? [id] : [])),
        options.adapters,
      )
    const tokens = await ordinaryTokens(url, target, model)
    const asks = workload(options, adapters.length > 0 ? adapters : [model], tokens)
    const bodyOf = await bodies(options, target, model)
    const send = async (ask: Ask, i: number, began: number) =>
      await stream(target, await bodyOf(ask), ask.promptTokens, `lorikeet-bench-${options.seed}-${i}`, began)
    const places = new Places(concurrency)
    const warm = Array.from({ length: options.warmups }, (_, i) => asks[i % asks.length])
    await Promise.all(warm.map((ask, i) => places.hold(() => send(ask, -1 - i, performance.now()))))
    // Prompts of a chat are texts, which are made before the clock runs.
    if (endpoint === '/v1/chat/completions') for (const ask of asks) await bodyOf(ask)
    const began = performance.now()
    let late = 0
    const queued: number[] = new Array(asks.length).fill(0)
    const outcomes = await Promise.all(
      asks.map(async (ask, i) => {
        const wait = began + ask.at - performance.now()
        if (wait > 0) await setTimeout(wait)
        const due = performance.now()
        late = Math.max(late, due - began - ask.at)
        const outcome = await places.hold(() => {
          queued[i] = performance.now() - due
          return send(ask, i, began)
        })
        onEnd()
        return outcome
      }),
    )
    return { model, adapters, outcomes, seconds: (performance.now() - began) / 1000, queued, late }
  } finally {
    agent.destroy()
  }
}

function firstAdapters(there: readonly string[], wanted: number | undefined): string[] {
  if (wanted === undefined) return []
  if (there.length >= wanted) return there.slice(0, wanted)
  throw new Error(`the server lists ${there.length} adapter${there.length === 1 ? '' : 's'}, fewer than --adapters ${wanted}`)
}

/** Each request's body; texts of chats are asked for once. */
async function bodies(
  { url, endpoint, body }: BenchOptions,
  target: Target,
  model: string,
): Promise<(ask: Ask) => Promise<{ model: string }>> {
  const usage = { stream: true, stream_options: { include_usage: true } }
  if (endpoint === '/v1/completions')
    return async ({ model, prompt, outputTokens }) => ({ model, prompt, max_tokens: outputTokens, ...usage, ...body })
  const texts = new Map<Ask, string>()
  return async (ask) => {
    let text = texts.get(ask)
    if (text === undefined) {
      const { prompt } = ask
      text = typeof prompt === 'string' ? prompt : ((await textOf(url, target, model, prompt)) ?? prompt.join(' '))
      texts.set(ask, text)
    }
    return {
      model: ask.model,
      messages: [{ role: 'user', content: text }],
      max_completion_tokens: ask.outputTokens,
      ...usage,
      ...body,
    }
  }
}

/** So many at once; the others come in their order. */
class Places {
  private free: number
  private readonly waiting: (() => void)[] = []

  constructor(count: number) {
    this.free = count
  }

  async hold<T>(use: () => Promise<T>): Promise<T> {
    if (this.free > 0) this.free--
    else await new Promise<void>((resolve) => this.waiting.push(resolve))
    try {
      return await use()
    } finally {
      const next = this.waiting.shift()
      if (next) next()
      else this.free++
    }
  }
}
