/** The engine proper, on whatever thread it is made: schedule, run, commit, tell. It knows no worker and no message. */
import type { AdapterImage } from '../../adapters-store/types.ts'
import { type NativeEngine, ROW_STATUS, type StepOutput } from '../../native/types.ts'
import { EngineError, type EngineErrorCode } from '../errors.ts'
import { checkInvariants } from '../invariants.ts'
import { COPY_RATE, Pool } from '../pool/pool.ts'
import { begin, landed, type Scheduled, shareTime, undo, workOf } from '../scheduler/scheduled.ts'
import { Scheduler } from '../scheduler/scheduler.ts'
import { Sequence } from '../scheduler/sequence.ts'
import type { EngineSnapshot, Logprobs, MaskThread, SequenceOutput, StepTimes } from '../types.ts'
import { Adapters } from './adapters.ts'
import { Batch, type PackedStep } from './batch.ts'
import type { CoreSettings } from './core-settings.ts'
import { Masks } from './masks.ts'
import {
  addSum,
  foundOf,
  goneBefore,
  isFault,
  logitsOf,
  logprobsOf,
  NOTHING_ALLOWED,
  NOTHING_LEFT,
  outgrownText,
  pooledOf,
  sumsOf,
  THREAD_LOST,
  takeTokens,
  withStart,
} from './outputs.ts'
import type { PackedRequest } from './packed-request.ts'
import { takeSnapshot } from './snapshot.ts'

/** A step on its way. */
interface Flight extends PackedStep {
  scheduleMs: number
  output: Promise<StepOutput | Error>
}

/** Weight of a new measurement in the smoothed time per token. */
const SMOOTHING = 0.1
/** Tokens in a step from which on its time grows with them (design, "Measured here"). */
const COMPUTE_BOUND_TOKENS = 64

export class EngineCore {
  readonly pool: Pool
  readonly scheduler: Scheduler
  readonly adapters: Adapters
  readonly masks: Masks
  readonly counters = { promptTokens: 0, generationTokens: 0, cachedTokens: 0, steps: 0, failedSteps: 0, lateMasks: 0 }
  lastStep: StepTimes = { tokens: 0, sequences: 0, scheduleMs: 0, runMs: 0, sampleMs: 0 }
  /** Steps since they were last taken. */
  private steps: StepTimes[] = []
  private readonly native: NativeEngine
  private readonly settings: CoreSettings
  private readonly batch: Batch
  private readonly sequences = new Map<string, Sequence>()
  private aborted: Sequence[] = []
  /** Constrained ones that can go on no longer, to be told so between steps. */
  private failing: { sequence: Sequence; message: string }[] = []
  private flight: Flight | undefined
  /** Whether the last plan had anything in it, or a step is in flight. */
  private planned = false
  private outgrownTold = false
  private outputs: SequenceOutput[] = []
  private readonly random: () => bigint
  private readonly warn: (message: string) => void
  private submitted = 0

  /** `warn` is called for what an operator should know of although all goes on. */
  constructor(native: NativeEngine, settings: CoreSettings, random: () => bigint, warn: (message: string) => void) {
    this.native = native
    this.settings = settings
    this.random = random
    this.warn = warn
    const copyRate = settings.copiesAside ? COPY_RATE.device : COPY_RATE.host
    this.pool = new Pool(native, settings.blockCount, settings.blockSize, native.blockBytes, copyRate, settings.frameBytes)
    this.adapters = new Adapters(native, this.pool, warn)
    this.scheduler = new Scheduler(this.pool, settings, this.adapters.images, (sequence) => this.batch.leave(sequence))
    this.masks = new Masks(native, settings.maxSequences, settings.copiesAside)
    this.batch = new Batch(native, settings.maxSequences, this.pool.adapters, this.masks, settings.draftTokens)
  }

  get idle(): boolean {
    return this.scheduler.empty && !this.flight
  }

  /** Everybody who could go on waits for a mask. */
  get stalled(): boolean {
    return !this.planned && this.failing.length === 0 && this.scheduler.running.some((one) => one.mask?.holdsBack)
  }

  /** `onMasks` is called whenever it has made some. */
  addMaskThread(thread: MaskThread, onMasks: () => void): void {
    this.masks.add(thread, (failed) => {
      this.failing.push(...failed)
      onMasks()
    })
  }

  /** What is constrained by a thread that is gone ends with an error. */
  removeMaskThread(id: number): void {
    for (const sequence of this.sequences.values())
      if (sequence.request.constraint?.thread === id) this.failing.push({ sequence, message: THREAD_LOST })
    this.masks.remove(id)
  }

  addAdapter(image: AdapterImage): void {
    this.adapters.add(image)
  }

  removeAdapter(digest: string): void {
    this.adapters.remove(digest)
  }

  submit(request: PackedRequest): void {
    const seed = request.sampling.seed === undefined ? this.random() : BigInt.asUintN(64, request.sampling.seed)
    const sequence = new Sequence(request, seed, this.submitted++)
    const error = goneBefore(request, this.adapters.images, this.masks)
    if (error) {
      this.outputs.push({ id: request.id, tokens: [], finish: 'error', error })
      return
    }
    this.sequences.set(request.id, sequence)
    this.adapters.acquire(sequence.uses)
    this.scheduler.add(sequence)
    // A request that comes during a step has its adapter copied beside that step.
    this.scheduler.prefetch()
  }

  /** Ends a sequence at the next boundary between steps. */
  abort(id: string): void {
    const sequence = this.sequences.get(id)
    if (sequence) this.aborted.push(sequence)
  }

  /** The steps run since the last call. */
  takeSteps(): StepTimes[] {
    const taken = this.steps
    this.steps = []
    return taken
  }

  /** Everything told since the last call. */
  takeOutputs(): SequenceOutput[] {
    const taken = this.outputs
    this.outputs = []
    return taken
  }

  /**
   * Plans and queues a step, then commits the one before it (with `overlap`; without, the same one). `whileRunning` is called once the step is under way.
   * What a step in flight names stays where it is until the step is over: blocks, adapters and slots of a sequence that ends meanwhile go back then.
   */
  async step(whileRunning: () => void): Promise<void> {
    if (this.flight && this.scheduler.awaitsTokens(this.flight.scheduled, this.lastStep.scheduleMs)) await this.land(this.flight)
    const started = performance.now()
    this.endAborted()
    const before = this.flight
    const plan = this.scheduler.plan(before !== undefined)
    for (const sequence of plan.outgrown) this.endOutgrown(sequence)
    for (const { sequence, code, reason, retryAfter } of plan.refused) this.fail(sequence, code, reason, retryAfter)
    this.flight = plan.scheduled.length > 0 ? this.launch(plan.scheduled, started) : undefined
    for (const { sequence } of plan.scheduled) if (sequence.request.tellStart) this.tellStart(sequence)
    this.planned = this.flight !== undefined || before !== undefined
    whileRunning()
    this.scheduler.prefetch()
    if (before) await this.land(before)
    if (this.flight && !this.settings.overlap) await this.land(this.flight)
    this.endAborted()
    if (this.settings.validate) checkInvariants(this.scheduler, this.pool)
  }

  private tellStart(sequence: Sequence): void {
    if (!sequence.reportedStart) this.outputs.push(withStart(sequence, { id: sequence.request.id, tokens: [] }))
  }

  /** Only the native step's own failure is its outcome; what else throws meanwhile is not the batch's fault. */
  private launch(scheduled: Scheduled[], started: number): Flight {
    try {
      const packed = this.batch.pack(scheduled)
      const output = this.native.step(packed.batch).catch((error: Error) => error)
      return { ...packed, scheduleMs: performance.now() - started, output }
    } catch (error) {
      const tokens = scheduled.reduce((sum, { count }) => sum + count, 0)
      return {
        batch: NO_BATCH,
        scheduled,
        tokens,
        scheduleMs: performance.now() - started,
        output: Promise.resolve(error as Error),
      }
    }
  }

  /** Waits for a step and commits it; a later one may be in flight. */
  private async land(flight: Flight): Promise<void> {
    const output = await flight.output
    if (this.flight === flight) this.flight = undefined
    if (output instanceof Error) return await this.recover(flight, output)
    if (output.warning !== undefined) this.warn(output.warning)
    shareTime(flight.scheduled, flight.tokens, output.runMs + output.sampleMs)
    this.commit(flight, output)
    this.counters.steps++
    const { tokens, scheduled, scheduleMs } = flight
    // Smaller steps are bound by reading the weights: their time per token says nothing of computing a prefix again.
    if (tokens >= Math.min(COMPUTE_BOUND_TOKENS, this.settings.maxBatchTokens))
      this.pool.tokenMs += SMOOTHING * (output.runMs / tokens - this.pool.tokenMs)
    this.lastStep = { tokens, sequences: scheduled.length, scheduleMs, runMs: output.runMs, sampleMs: output.sampleMs }
    this.steps.push(this.lastStep)
    this.scheduler.stepTime.measured(workOf(scheduled), output.runMs + output.sampleMs)
  }

  /** A step failed: halves of it are run by themselves until the guilty sequence is alone. It fails, the others go on. */
  private async recover(failed: Flight, error: Error): Promise<void> {
    this.counters.failedSteps++
    const next = this.flight
    if (next) {
      // It goes on from tokens that were never sampled, whether it ran or was dropped.
      this.flight = undefined
      await next.output
      this.undo(next)
    }
    this.undo(failed)
    // No half of the batch could succeed either.
    if ((error as NodeJS.ErrnoException).code === 'DEVICE_LOST')
      throw new EngineError('engine_failed', `the device is lost: ${error.message}`, { cause: error })
    const open = failed.scheduled.filter(({ sequence }) => sequence.state === 'running')
    // Alone in the step, not only left of it: another that has ended meanwhile may have been the guilty one.
    if (failed.scheduled.length === 1) {
      for (const { sequence } of open) this.fail(sequence, 'step_failed', `the step failed: ${error.message}`)
      return
    }
    const half = open.length >> 1
    for (const part of [open.slice(0, half), open.slice(half)]) {
      if (part.length === 0) continue
      const again = part.map(({ sequence, count, drafted }) => begin(sequence, count - drafted))
      await this.land(this.launch(again, performance.now()))
    }
  }

  private undo(flight: Flight): void {
    for (const item of flight.scheduled) {
      undo(item)
      if (item.sequence.inFlight > 0) continue
      // Perhaps the addon took the step, perhaps it never saw it: what it knows of the sequence is forgotten, and told again.
      this.batch.leave(item.sequence)
      if (item.sequence.state === 'leaving') this.letGo(item.sequence)
    }
  }

  private commit({ scheduled }: Flight, step: StepOutput): void {
    const logprobs = logprobsOf(step)
    let r = 0
    const sums = sumsOf(scheduled, step)
    for (const [b, item] of scheduled.entries()) {
      const { sequence, from } = item
      const count = item.count - item.drafted
      const first = r
      const sum = sums[b]
      r += item.scored + (item.samples ? 1 + item.drafted : 0)
      landed(item)
      if (sequence.state === 'leaving') {
        this.letGo(sequence)
        continue
      }
      if (step.sequenceStatus[b]) {
        this.fail(sequence, 'adapter_identity_mismatch', 'what lies in the pool is not the adapter that this request named')
        continue
      }
      const fault = step.rowStatus.subarray(first, r).findIndex(isFault)
      const status = fault < 0 ? undefined : step.rowStatus[first + fault]
      // What was sampled before it has come all the same: a stop string may end there, and then the fault is nobody's.
      if (fault > item.scored) this.sampled(item, step, first + item.scored, logprobs, { id: sequence.request.id, tokens: [] })
      if (status === ROW_STATUS.nothingAllowed) {
        this.fail(sequence, 'constraint_unsatisfiable', sequence.request.constraint ? NOTHING_ALLOWED : NOTHING_LEFT)
        continue
      }
      if (status !== undefined) {
        this.fail(sequence, 'non_finite_logits', 'the model computed no finite logits')
        continue
      }
      // Its last token is computed again, once there is a mask to sample by.
      const late = item.samples && step.rowStatus[r - 1] === ROW_STATUS.maskLate
      if (late) this.late(sequence)
      const end = late ? from + count - 1 : from + count
      this.scheduler.register(sequence, end)
      this.counters.promptTokens += Math.max(0, Math.min(end, sequence.promptLength) - from)
      const output: SequenceOutput = { id: sequence.request.id, tokens: [] }
      if (item.scored > 0) output.promptLogprobs = { of: logprobs, from: first, to: first + item.scored }
      if (sum) addSum(sequence, item, sum)
      if (sequence.request.pooling !== undefined) {
        if (from + count === sequence.promptLength) this.pooled(sequence, output)
      } else if (item.samples && !late) {
        this.sampled(item, step, first + item.scored, logprobs, output)
        sequence.found = sequence.slot === undefined ? undefined : foundOf(step, b)
      } else if (item.scored > 0) this.outputs.push(withStart(sequence, output))
    }
    this.masks.flush()
  }

  private late(sequence: Sequence): void {
    sequence.computed--
    this.masks.wasLate(sequence)
    this.counters.lateMasks++
  }

  /** Ends a pooled sequence whose prompt is computed. */
  private pooled(sequence: Sequence, output: SequenceOutput): void {
    output.pooled = pooledOf(sequence)
    if (!sequence.odd) this.end(sequence, { ...output, finish: 'stop' })
    else this.fail(sequence, 'non_finite_logits', 'the model computed no finite hidden state')
  }

  /** From row `first` on its tokens, one and those that were drafted and stay. `output`: what the step has brought beside them. */
  private sampled(item: Scheduled, step: StepOutput, first: number, logprobs: Logprobs, output: SequenceOutput): void {
    const { sequence, drafted } = item
    const { sampling } = sequence.request
    if (sampling.maxTokens === 0) {
      // Only the prompt was to be scored.
      this.end(sequence, { ...output, finish: 'length' })
      return
    }
    const { tokens, end } = takeTokens(sequence, step, first, drafted, this.settings.maxModelLen)
    for (let i = 0; i < tokens.length; i++) this.scheduler.sampled(sequence)
    this.counters.generationTokens += tokens.length
    output.tokens.push(...tokens)
    const r = first + tokens.length
    const taken = tokens.length - 1
    this.scheduler.speculation?.judged(sequence, drafted, taken, step.tokens[first])
    if (taken > 0) {
      sequence.computed += taken
      this.scheduler.register(sequence, item.from + item.count - drafted + taken)
    }
    if (sampling.logprobs >= 0) output.logprobs = { of: logprobs, from: first, to: r }
    if (sampling.returnLogits) output.logits = logitsOf(step, first, r, sequence.request.vocabSize ?? this.settings.vocabSize)
    if (end.finish) {
      this.end(sequence, { ...output, ...end })
      return
    }
    this.masks.sampled(sequence, step.tokens[first])
    this.outputs.push(withStart(sequence, output))
  }

  /** Tells a sequence its last output. What it holds goes back at once, or with the last step in flight that names it. */
  private end(sequence: Sequence, output: SequenceOutput): void {
    // Once: one that is aborted may have ended by itself since.
    if (sequence.told) return
    sequence.told = true
    this.sequences.delete(sequence.request.id)
    this.counters.cachedTokens += sequence.cachedTokens ?? 0
    this.outputs.push(withStart(sequence, output))
    this.letGo(sequence)
  }

  /** What a sequence that has ended holds goes back, unless a step in flight names it: then this is called again when that is over. */
  private letGo(sequence: Sequence): void {
    if (sequence.inFlight === 0) this.batch.leave(sequence)
    this.scheduler.finish(sequence)
    if (sequence.inFlight === 0) this.adapters.release(sequence.uses)
  }

  private fail(sequence: Sequence, code: EngineErrorCode, message: string, retryAfter?: number): void {
    this.end(sequence, { id: sequence.request.id, tokens: [], finish: 'error', error: { code, message, retryAfter } })
  }

  private endAborted(): void {
    for (const sequence of this.aborted) this.end(sequence, { id: sequence.request.id, tokens: NO_TOKENS, finish: 'abort' })
    if (this.aborted.length > 0) this.aborted = []
    for (const { sequence, message } of this.failing.splice(0)) this.fail(sequence, 'constraint_lost', message)
  }

  /** What it has told stays an answer, cut short: by length, and for a reason that is not the client's. */
  private endOutgrown(sequence: Sequence): void {
    if (!this.outgrownTold) this.warn(outgrownText(sequence, this.pool.blocks.count))
    this.outgrownTold = true
    this.end(sequence, { id: sequence.request.id, tokens: [], finish: 'length', stopReason: 'pool_exhausted' })
  }

  /** Gives the images' memory back; nothing may be submitted after this. */
  close(): void {
    this.masks.close()
    this.adapters.close()
  }

  /** Ends everything with an error: the engine can go on no longer. */
  async failAll(error: EngineError): Promise<void> {
    if (this.flight) await this.flight.output
    for (const sequence of [...this.sequences.values()]) this.fail(sequence, error.code, error.message)
  }

  snapshot(): EngineSnapshot {
    return takeSnapshot(this.scheduler, this.pool, this.counters, this.lastStep)
  }
}

/** Tens of thousands may be aborted at once. */
const NO_TOKENS: number[] = []
const NO_BATCH = { sequences: new Int32Array(0), blocks: new Int32Array(0) }
