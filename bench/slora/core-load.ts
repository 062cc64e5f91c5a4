/** A trace sent to an engine's core, without a server: in virtual time, or in this machine's. */
import type { AdapterImage } from '../../adapters-store/types.ts'
import type { EngineCore } from '../../runtime/engine/core.ts'
import { requestPacker } from '../../runtime/engine/packed-request.ts'
import type { SequenceRequest } from '../../runtime/types.ts'
import { greedy } from '../../test/support/greedy.ts'
import type { TraceRequest } from '../open-loop.ts'
import { quantile } from '../report.ts'
import type { VirtualEngine, WatchedEngine } from './engines.ts'

export interface Load {
  requests: readonly TraceRequest[]
  /** undefined: the base's. */
  imageOf: (adapter: number) => AdapterImage | undefined
  vocabulary: number
  /** Milliseconds within which a first token counts as good. */
  sloMs: number
  /** The server is told of them and refuses who cannot be in time. */
  earlyAbort?: boolean
  /** The newest is served first. */
  newestFirst?: boolean
  /** Who has waited for so many milliseconds is given up. */
  giveUpMs?: number
  /** Adapters that lie in memory beside the pool's. */
  besides?: () => number
}

export interface Result {
  /** Completed over all the time with drain, and their tokens. */
  requestsPerS: number
  tokensPerS: number
  firstTokenMs: { mean: number; p99: number }
  /** Of all requests, those with a first token in time. */
  slo: number
  refused: number
  /** Of all steps, the mean of the sequences in one, and the most. */
  meanBatch: number
  largestBatch: number
  /** Different adapters in a step, on average; the most that lay in memory; MB that were copied there. */
  meanAdapters: number
  mostAdapters: number
  copiedMb: number
  preemptions: number
}

/** Beyond any time that a run takes: newest first is the order of service by how long it is until then. */
const HORIZON = 1e9

/** What was asked, and what came of it. */
class Book {
  readonly due: number[]
  private readonly load: Load
  private readonly core: EngineCore
  private readonly first = new Map<string, number>()
  private readonly refused = new Set<string>()
  private readonly pack: ReturnType<typeof requestPacker>
  private served = 0
  private tokens = 0
  private end = 0
  private steps = 0
  private sequences = 0
  private largestBatch = 0
  private mostAdapters = 0

  constructor(core: EngineCore, load: Load) {
    this.core = core
    this.load = load
    this.due = load.requests.map(({ at }) => at * 1e3)
    this.pack = requestPacker(load.vocabulary)
  }

  get open(): boolean {
    return this.served + this.refused.size < this.due.length
  }

  /** `now`: by the core's clock, whose 0 the trace's is. */
  submit(i: number): void {
    const { requests, imageOf, sloMs, earlyAbort, newestFirst, vocabulary } = this.load
    const { adapter, prompt, output } = requests[i]
    const image = imageOf(adapter)
    // Numbers that tell prompts apart from their first block on.
    const promptIds = Array.from({ length: prompt }, (_, p) => 10 + ((i * 7919 + p * (1 + (i % 13))) % (vocabulary - 10)))
    const request: SequenceRequest = {
      id: `${i}`,
      promptIds,
      adapters: image ? [{ name: image.name, digest: image.digest, weight: 1 }] : [],
      sampling: greedy(output),
      arrival: newestFirst ? HORIZON - this.due[i] : this.due[i],
      firstTokenMs: earlyAbort ? sloMs : undefined,
    }
    this.core.submit(this.pack(request))
  }

  giveUp(now: number): void {
    const { giveUpMs } = this.load
    if (giveUpMs === undefined) return
    const { waiting } = this.core.scheduler
    for (const { request, outputLength } of waiting.first(waiting.length))
      if (outputLength === 0 && now - this.due[Number(request.id)] >= giveUpMs) this.core.abort(request.id)
  }

  /** After a step. */
  read(now: number): void {
    for (const { id, tokens, finish, error } of this.core.takeOutputs()) {
      if (error && error.code !== 'too_late') throw new Error(`${error.code}: ${error.message}`)
      if (tokens.length > 0 && !this.first.has(id)) this.first.set(id, now - this.due[Number(id)])
      this.tokens += tokens.length
      if (!finish) continue
      this.end = now
      if (finish === 'length') this.served++
      else this.refused.add(id)
    }
    for (const { sequences } of this.core.takeSteps()) {
      this.steps++
      this.sequences += sequences
      this.largestBatch = Math.max(this.largestBatch, sequences)
    }
    const adapters = this.load.besides?.() ?? this.core.pool.adapters.count
    this.mostAdapters = Math.max(this.mostAdapters, adapters)
  }

  result({ reader, copiedMb }: Pick<VirtualEngine, 'reader' | 'copiedMb'>): Result {
    const first = [...this.first.values()]
    const seconds = this.end / 1e3
    return {
      requestsPerS: this.served / seconds,
      tokensPerS: this.tokens / seconds,
      firstTokenMs: { mean: first.reduce((a, b) => a + b, 0) / first.length, p99: quantile(first, 0.99) },
      slo: first.filter((ms) => ms <= this.load.sloMs).length / this.due.length,
      refused: this.refused.size,
      meanBatch: this.sequences / this.steps,
      largestBatch: this.largestBatch,
      meanAdapters: reader.adaptersInSteps / reader.steps,
      mostAdapters: this.mostAdapters,
      copiedMb,
      preemptions: this.core.scheduler.preemptions,
    }
  }
}

/** In the engine's own time. The core's clock must be the engine's `now`. */
export async function runVirtually(core: EngineCore, engine: VirtualEngine, load: Load): Promise<Result> {
  const book = new Book(core, load)
  let next = 0
  const come = (until: number) => {
    for (; next < book.due.length && book.due[next] <= until; next++) book.submit(next)
  }
  while (book.open) {
    if (core.idle && next < book.due.length) engine.now = Math.max(engine.now, book.due[next])
    come(engine.now)
    book.giveUp(engine.now)
    const before = engine.now
    await core.step(() => come(engine.ends))
    book.read(engine.now)
    // A plan that gives nobody a token, for want of memory, would be made for ever.
    if (engine.now === before && !core.idle && core.scheduler.running.length === 0 && core.scheduler.waiting.length > 0)
      throw new Error('somebody waits, nobody runs, and nobody is admitted')
  }
  return book.result(engine)
}

/** In this machine's time. `clock`: the core's; it must begin at 0 with the trace. */
export async function runReally(core: EngineCore, engine: WatchedEngine, clock: () => number, load: Load): Promise<Result> {
  const book = new Book(core, load)
  let wake = () => {}
  for (const [i, at] of book.due.entries())
    setTimeout(
      () => {
        book.submit(i)
        wake()
      },
      Math.max(0, at - clock()),
    )
  while (book.open) {
    if (core.idle)
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    book.giveUp(clock())
    await core.step(() => {})
    // As the engine's thread reads its messages between steps.
    await new Promise((resolve) => setImmediate(resolve))
    book.read(clock())
  }
  return book.result(engine)
}
