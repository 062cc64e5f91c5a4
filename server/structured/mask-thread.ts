/** A thread that makes masks, as the main thread holds it: what it knows, who is constrained by it, and whether it lives. */
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import type { Engine } from '../../runtime/index.ts'
import type { Source } from './convert.ts'
import type { Order, Report, ThreadData } from './messages.ts'
import type { Vocabulary } from './vocabulary.ts'

/** Milliseconds between looks at whether it still answers. */
const PING_EVERY = 1000

/** Of JavaScript's memory in one, without the vocabulary's and XGrammar's. */
const HEAP_MB = 512

/** Makes a thread of thread.ts. */
export function startThread(data: ThreadData): Worker {
  const worker = new Worker(new URL('./thread.js', import.meta.url), {
    workerData: data,
    // Of JavaScript: what a constraint is converted by is bounded, but not to the byte.
    resourceLimits: { maxOldGenerationSizeMb: HEAP_MB },
    name: data.trial ? 'lorikeet-grammars' : 'lorikeet-masks',
  })
  worker.unref()
  return worker
}

export class MaskThread {
  readonly id: number
  readonly places: Uint32Array
  /** Bytes that it holds, as it told last. */
  bytes = 0
  /** Grammars that somebody uses, or that are kept for whoever comes. */
  readonly grammars = new Set<number>()
  users = 0
  dead = false
  private readonly worker: Worker
  private readonly engine: Engine
  private readonly known = new Set<number>()
  private readonly compiling = new Map<number, { resolve: () => void; reject: (error: Error) => void }>()
  private readonly silentMs: number
  private readonly onLost: (why: string) => void
  private readonly timer: NodeJS.Timeout
  private heardAt = performance.now()
  private awaiting = false
  private ending: Promise<unknown> | undefined

  /** `onLost` is called once, when it is gone without having been ended; what it constrained has been told. */
  constructor(
    id: number,
    engine: Engine,
    places: Uint32Array,
    data: ThreadData,
    silentMs: number,
    onLost: (why: string) => void,
  ) {
    this.id = id
    this.places = places
    this.engine = engine
    this.silentMs = silentMs
    this.onLost = onLost
    this.worker = startThread(data)
    const { port1, port2 } = new MessageChannel()
    engine.addMaskThread({ id, port: port1, places })
    this.post({ type: 'engine', port: port2, places, stride: places.length / engine.info.slots }, [port2])
    this.worker.on('message', (report: Report) => this.receive(report))
    this.worker.on('error', (error) => this.lost(error.message))
    this.worker.on('exit', () => this.lost('it ended'))
    this.timer = setInterval(() => this.look(), PING_EVERY)
    this.timer.unref()
  }

  get vocabularies(): number {
    return this.known.size
  }

  async compile(grammar: number, vocabulary: Vocabulary, source: Source): Promise<void> {
    if (!this.known.has(vocabulary.id)) this.post({ type: 'vocabulary', vocabulary })
    this.known.add(vocabulary.id)
    this.grammars.add(grammar)
    const done = new Promise<void>((resolve, reject) => this.compiling.set(grammar, { resolve, reject }))
    this.post({ type: 'compile', grammar, vocabulary: vocabulary.id, source })
    return done
  }

  drop(grammar: number): void {
    this.grammars.delete(grammar)
    this.post({ type: 'drop', grammar })
  }

  /** Ends it; what it constrains ends with an error. Resolves when its memory is nobody's. */
  end(): Promise<unknown> {
    this.ending ??= this.stop()
    return this.ending
  }

  /** As if it had died by itself. */
  async fail(): Promise<void> {
    await this.worker.terminate()
  }

  private async stop(): Promise<unknown> {
    this.dead = true
    clearInterval(this.timer)
    this.engine.removeMaskThread(this.id)
    for (const { reject } of this.compiling.values()) reject(new Error('the thread that makes masks has ended'))
    this.compiling.clear()
    return this.worker.terminate()
  }

  private receive(report: Report): void {
    this.heardAt = performance.now()
    this.awaiting = false
    if (report.type !== 'compiled' && report.type !== 'failed') return
    const waiting = this.compiling.get(report.grammar)
    this.compiling.delete(report.grammar)
    if (report.type === 'failed') {
      waiting?.reject(new Error(report.message))
      // What it had compiled before is void.
      this.lost(report.message)
      return
    }
    this.bytes = report.bytes
    waiting?.resolve()
  }

  private look(): void {
    if (this.awaiting && performance.now() - this.heardAt > this.silentMs) {
      this.lost(`it has not answered for ${Math.round(this.silentMs / 1000)} s`)
      return
    }
    if (!this.awaiting) this.heardAt = performance.now()
    this.awaiting = true
    this.post({ type: 'ping' })
  }

  private lost(why: string): void {
    if (this.dead) return
    this.onLost(why)
  }

  private post(order: Order, moved: MessagePort[] = []): void {
    this.worker.postMessage(order, moved)
  }
}
