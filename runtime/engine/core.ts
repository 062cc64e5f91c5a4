/** The engine proper, on whatever thread it is made: schedule, run, commit, tell. It knows no worker and no message. */
import type { AdapterImage } from '../../adapters-store/types.ts'
import type { NativeEngine, StepOutput } from '../../native/types.ts'
import { EngineError, type EngineErrorCode } from '../errors.ts'
import { checkInvariants } from '../invariants.ts'
import { COPY_RATE, Pool } from '../pool/pool.ts'
import { type Scheduled, Scheduler } from '../scheduler/scheduler.ts'
import { Sequence } from '../scheduler/sequence.ts'
import type { EngineSnapshot, SequenceOutput, SequenceRequest, StepTimes } from '../types.ts'
import { type PackedStep, packStep } from './batch.ts'
import { finishReason, rowLogprob, withStart } from './outputs.ts'
import { takeSnapshot } from './snapshot.ts'

export interface CoreSettings {
  blockCount: number
  blockSize: number
  vocabSize: number
  maxModelLen: number
  maxBatchTokens: number
  maxSequences: number
  prefixCache: boolean
  /** Adapters' bytes travel by the device's own means, beside a step (CUDA). */
  copiesAside: boolean
  validate: boolean
}

/** Weight of a new measurement in the smoothed time per token. */
const SMOOTHING = 0.1
/** Tokens in a step from which on its time grows with them (design, "Measured here"). */
const COMPUTE_BOUND_TOKENS = 64

export class EngineCore {
  readonly pool: Pool
  readonly scheduler: Scheduler
  /** Called for what an operator should know of although all goes on. */
  onWarning?: (message: string) => void
  readonly counters = { promptTokens: 0, generationTokens: 0, cachedTokens: 0, steps: 0, failedSteps: 0 }
  lastStep: StepTimes = { tokens: 0, sequences: 0, scheduleMs: 0, runMs: 0, sampleMs: 0 }
  /** Steps since they were last taken. */
  private steps: StepTimes[] = []
  private readonly native: NativeEngine
  private readonly settings: CoreSettings
  private readonly sequences = new Map<string, Sequence>()
  /** Host tier: every adapter that sequences may name, by digest. */
  private readonly images = new Map<string, AdapterImage>()
  /** Digests whose image goes once no sequence uses it. */
  private readonly leaving = new Set<string>()
  private pinsRefused = false
  private outputs: SequenceOutput[] = []
  private readonly random: () => bigint
  private submitted = 0

  constructor(native: NativeEngine, settings: CoreSettings, random: () => bigint) {
    this.native = native
    this.settings = settings
    this.random = random
    const copyRate = settings.copiesAside ? COPY_RATE.device : COPY_RATE.host
    this.pool = new Pool(native, settings.blockCount, settings.blockSize, native.blockBytes, copyRate)
    this.scheduler = new Scheduler(this.pool, settings, this.images)
  }

  get idle(): boolean {
    return this.scheduler.empty
  }

  addAdapter(image: AdapterImage): void {
    this.leaving.delete(image.digest)
    if (this.images.has(image.digest)) return
    this.images.set(image.digest, image)
    this.pin(image)
  }

  /** An image that cannot be pinned (the system's limit on locked memory) is served all the same: its copies pass through a buffer and take the host's time. */
  private pin({ name, image }: AdapterImage): void {
    try {
      this.native.pinImage(new Uint8Array(image))
    } catch (error) {
      if (!this.pinsRefused)
        this.onWarning?.(
          `the memory of adapter ${name} cannot be pinned, so its copies to the device are slower: ${(error as Error).message}; ` +
            'this is told once (if it is the limit on locked memory: ulimit -l)',
        )
      this.pinsRefused = true
    }
  }

  removeAdapter(digest: string): void {
    if (this.images.has(digest)) this.leaving.add(digest)
    this.dropLeaving()
  }

  submit(request: SequenceRequest): void {
    const seed = request.sampling.seed === undefined ? this.random() : BigInt.asUintN(64, request.sampling.seed)
    const sequence = new Sequence(request, seed, this.submitted++)
    const unknown = request.adapters.find((use) => !this.images.has(use.digest))
    if (unknown) {
      this.tellError(sequence, 'unknown_adapter', `adapter ${unknown.name} was removed before the request could run`)
      return
    }
    this.sequences.set(request.id, sequence)
    this.scheduler.add(sequence)
    // A request that comes during a step has its adapter copied beside that step.
    this.scheduler.prefetch()
  }

  /** Ends a sequence at the next boundary between steps; nothing that a running step reads is freed under it. */
  abort(id: string): void {
    const sequence = this.sequences.get(id)
    if (sequence) sequence.aborted = true
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

  /** One step, if there is anything to do. `whileRunning` is called once the native step is under way. */
  async step(whileRunning: () => void): Promise<void> {
    const started = performance.now()
    this.endAborted()
    const { scheduled, outgrown, refused } = this.scheduler.plan()
    for (const sequence of outgrown) this.end(sequence, { id: sequence.request.id, tokens: [], finish: 'length' })
    for (const { sequence, code, reason } of refused) this.fail(sequence, code, reason)
    if (scheduled.length > 0) await this.execute(scheduled, started, whileRunning)
    this.endAborted()
    this.dropLeaving()
    if (this.settings.validate) checkInvariants(this.scheduler, this.pool)
  }

  /** Runs and commits. When the graph fails, halves are run by themselves until the guilty sequence is alone: it fails, the others go on. */
  private async execute(scheduled: Scheduled[], started: number, whileRunning: () => void): Promise<void> {
    const packed = packStep(scheduled, this.settings.blockSize, this.pool.adapters)
    const scheduleMs = performance.now() - started
    const running = this.launch(packed)
    whileRunning()
    this.scheduler.prefetch()
    const output = await running
    if (output instanceof Error) {
      this.counters.failedSteps++
      // No half of the batch could succeed either.
      if ((output as NodeJS.ErrnoException).code === 'DEVICE_LOST')
        throw new EngineError('engine_failed', `the device is lost: ${output.message}`, { cause: output })
      if (scheduled.length === 1) {
        this.fail(scheduled[0].sequence, 'step_failed', `the step failed: ${output.message}`)
        return
      }
      const half = scheduled.length >> 1
      await this.execute(scheduled.slice(0, half), performance.now(), () => {})
      await this.execute(scheduled.slice(half), performance.now(), () => {})
      return
    }
    this.commit(packed, output)
    this.counters.steps++
    const tokens = packed.batch.inputIds.length
    // Smaller steps are bound by reading the weights: their time per token says nothing of computing a prefix again.
    if (tokens >= Math.min(COMPUTE_BOUND_TOKENS, this.settings.maxBatchTokens))
      this.pool.tokenMs += SMOOTHING * (output.runMs / tokens - this.pool.tokenMs)
    this.lastStep = { tokens, sequences: scheduled.length, scheduleMs, runMs: output.runMs, sampleMs: output.sampleMs }
    this.steps.push(this.lastStep)
  }

  /** Only the native step's own failure is its outcome; what else throws meanwhile is not the batch's fault. */
  private launch(packed: PackedStep): Promise<StepOutput | Error> {
    try {
      return this.native.step(packed.batch).catch((error: Error) => error)
    } catch (error) {
      return Promise.resolve(error as Error)
    }
  }

  private commit(packed: PackedStep, step: StepOutput): void {
    let r = 0
    for (const [b, { sequence, count }] of packed.scheduled.entries()) {
      const first = r
      while (r < packed.rows.length && packed.rows[r].sequence === sequence) r++
      if (step.segmentStatus[packed.segmentOf[b]]) {
        this.fail(sequence, 'adapter_identity_mismatch', 'what lies in the pool is not the adapter that this request named')
        continue
      }
      if (step.rowStatus.subarray(first, r).some((status) => status !== 0)) {
        this.fail(sequence, 'non_finite_logits', 'the model computed no finite logits, or every token is banned')
        continue
      }
      this.scheduler.advance(sequence, count)
      this.counters.promptTokens += Math.max(0, Math.min(sequence.computed, sequence.promptLength) - (sequence.computed - count))
      for (let i = first; i < r; i++) {
        if (packed.rows[i].target >= 0) sequence.promptLogprobs?.push(rowLogprob(step, i))
        else this.sampled(sequence, step, i)
      }
    }
  }

  private sampled(sequence: Sequence, step: StepOutput, r: number): void {
    const token = step.tokens[r]
    const { sampling } = sequence.request
    if (sampling.maxTokens === 0) {
      // Only the prompt was to be scored.
      this.end(sequence, { id: sequence.request.id, tokens: [], finish: 'length', promptLogprobs: sequence.promptLogprobs })
      return
    }
    sequence.tokens.push(token)
    this.counters.generationTokens++
    const output: SequenceOutput = { id: sequence.request.id, tokens: [token] }
    if (sampling.logprobs >= 0) output.logprobs = [rowLogprob(step, r)]
    if (sampling.returnLogits && step.logits) {
      const { vocabSize } = this.settings
      output.logits = [step.logits.slice(r * vocabSize, (r + 1) * vocabSize)]
    }
    if (sequence.promptLogprobs && sequence.outputLength === 1) output.promptLogprobs = sequence.promptLogprobs
    const end = finishReason(sequence, token, this.settings.maxModelLen)
    if (end.finish) this.end(sequence, { ...output, ...end })
    else this.outputs.push(withStart(sequence, output))
  }

  /** Takes the sequence out of everything and tells its last output. */
  private end(sequence: Sequence, output: SequenceOutput): void {
    this.counters.cachedTokens += sequence.cachedTokens ?? 0
    withStart(sequence, output).preemptions = sequence.preemptions
    this.outputs.push(output)
    this.scheduler.finish(sequence)
    this.sequences.delete(sequence.request.id)
  }

  private fail(sequence: Sequence, code: EngineErrorCode, message: string): void {
    this.end(sequence, { id: sequence.request.id, tokens: [], finish: 'error', error: { code, message } })
  }

  private tellError(sequence: Sequence, code: EngineErrorCode, message: string): void {
    this.outputs.push({ id: sequence.request.id, tokens: [], finish: 'error', error: { code, message } })
  }

  private endAborted(): void {
    for (const sequence of this.sequences.values())
      if (sequence.aborted) this.end(sequence, { id: sequence.request.id, tokens: [], finish: 'abort' })
  }

  private dropLeaving(): void {
    if (this.leaving.size === 0) return
    const used = new Set<string>()
    for (const sequence of this.sequences.values()) for (const use of sequence.request.adapters) used.add(use.digest)
    for (const digest of this.leaving) {
      if (used.has(digest)) continue
      const resident = this.pool.adapters.get(digest)
      if (resident) this.pool.adapters.evict(resident)
      this.pool.prefixes.dropWhere((key) => key.includes(digest))
      this.forget(digest)
      this.leaving.delete(digest)
    }
  }

  /** The addon lets the image's bytes go before they can be collected. */
  private forget(digest: string): void {
    const image = this.images.get(digest)
    if (image) this.native.unpinImage(new Uint8Array(image.image))
    this.images.delete(digest)
  }

  /** Gives the images' memory back; nothing may be submitted after this. */
  close(): void {
    for (const digest of [...this.images.keys()]) this.forget(digest)
  }

  /** Ends everything with an error: the engine can go on no longer. */
  failAll(error: EngineError): void {
    for (const sequence of [...this.sequences.values()]) this.fail(sequence, error.code, error.message)
  }

  snapshot(): EngineSnapshot {
    return takeSnapshot(this)
  }
}
