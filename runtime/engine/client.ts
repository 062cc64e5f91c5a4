/** The engine as the main thread holds it: checks requests, passes messages, hands each output to its owner. */
import type { Worker } from 'node:worker_threads'
import { hasRanks } from '../../adapters-store/ranks.ts'
import { EngineError } from '../errors.ts'
import type {
  AdapterImage,
  AdapterUse,
  CachedBlocks,
  CacheListener,
  Engine,
  EngineInfo,
  EngineSnapshot,
  MaskThread,
  PoolLook,
  ResidentInfo,
  SequenceOutput,
  SequenceRequest,
  StepTimes,
} from '../types.ts'
import type { FromEngine, ToEngine } from './messages.ts'
import { type PackedRequest, requestPacker } from './packed-request.ts'
import { type Reaching, reachOf } from './reach.ts'

/** For errors: whose the vocabulary is. */
const ofWhom = (adapters: readonly AdapterUse[]) =>
  adapters.length === 0 ? '' : `of ${adapters.map(({ name }) => name).join(' and ')} `

/** What is known of an adapter: the pages that it takes, the names that it goes by, the token ids that exist for it, how far it reaches. */
type Known = Reaching &
  Pick<AdapterImage, 'task'> & { blocks: number; frames: number; names: string[]; vocabSize: number; ranked: boolean }

interface Listener {
  onOutput: (output: SequenceOutput) => void
  adapters: readonly AdapterUse[]
}

export class EngineClient implements Engine {
  readonly info: EngineInfo
  snapshot: EngineSnapshot
  readonly residents = new Map<string, ResidentInfo>()
  onStep?: (step: StepTimes) => void
  onFailure?: (error: Error) => void
  onWarning?: (message: string) => void
  private readonly worker: Worker
  private readonly listeners = new Map<string, Listener>()
  private readonly pack: (request: SequenceRequest) => PackedRequest
  /** By digest. */
  private readonly adapters = new Map<string, Known>()
  /** Looks that were asked for, in order. */
  private readonly looks: ((look: PoolLook | undefined) => void)[] = []
  private readonly cacheLooks: ((blocks: CachedBlocks | undefined) => void)[] = []
  private readonly idleWaiters = new Map<number, () => void>()
  /** When the engine's thread spoke last, or was given work after it had none. */
  private heardAt = performance.now()
  private nextTicket = 0
  private failure: EngineError | undefined
  private closing: Promise<void> | undefined
  private readonly exited: Promise<void>

  constructor(worker: Worker, info: EngineInfo, snapshot: EngineSnapshot) {
    this.worker = worker
    this.info = info
    this.snapshot = snapshot
    this.pack = requestPacker(info.vocabSize + info.addedTokens)
    worker.on('message', (message: FromEngine) => this.receive(message))
    worker.on('error', (error) =>
      this.fail(new EngineError('engine_failed', `the engine's thread died: ${error.message}`, { cause: error })),
    )
    this.exited = new Promise((resolve) => {
      worker.once('exit', () => {
        if (!this.closing) this.fail(new EngineError('engine_failed', "the engine's thread ended"))
        this.endLooks()
        resolve()
      })
    })
  }

  addAdapter(image: AdapterImage): void {
    const known = this.adapters.get(image.digest)
    if (known) {
      if (!known.names.includes(image.name)) known.names.push(image.name)
      return
    }
    // Row places count in this engine's blocks and elements: another layout would be read as other weights.
    const { blockBytes, frameBytes, adapterDtype } = this.info
    if (image.blockBytes !== blockBytes || image.frameBytes !== frameBytes || image.dtype !== adapterDtype)
      throw new EngineError(
        'adapter_layout_mismatch',
        `adapter ${image.name} is packed as ${image.dtype} in blocks of ${image.blockBytes} bytes and frames of ${image.frameBytes}; ` +
          `the engine takes ${adapterDtype} in blocks of ${blockBytes} and frames of ${frameBytes}`,
      )
    const { blocks, frames, name, vocabSize = this.info.vocabSize, invocationTokens, sparesCache, maxRank, task } = image
    const reaching = { invocationTokens, sparesCache, maxRank, ranked: hasRanks(image) }
    this.adapters.set(image.digest, { blocks, frames, names: [name], vocabSize, task, ...reaching })
    this.post({ type: 'adapter', image })
  }

  removeAdapter(digest: string, name?: string): void {
    if (name !== undefined) {
      // In place: the residents' list is the same.
      const names = this.adapters.get(digest)?.names ?? []
      if (names.includes(name)) names.splice(names.indexOf(name), 1)
    } else if (this.adapters.delete(digest)) this.post({ type: 'removeAdapter', digest })
  }

  addMaskThread(thread: MaskThread): void {
    this.worker.postMessage({ type: 'maskThread', thread } satisfies ToEngine, [thread.port])
  }

  removeMaskThread(id: number): void {
    this.post({ type: 'removeMaskThread', id })
  }

  tellCache(listener: CacheListener): void {
    this.worker.postMessage({ type: 'tellCache', listener } satisfies ToEngine, [listener.port])
  }

  async cachedBlocks(): Promise<CachedBlocks | undefined> {
    if (this.failure || this.closing) return undefined
    return new Promise((resolve) => {
      this.cacheLooks.push(resolve)
      this.post({ type: 'cached' })
    })
  }

  submit(request: SequenceRequest, onOutput: (output: SequenceOutput) => void): void {
    if (this.failure) throw this.failure
    if (this.closing) throw new EngineError('engine_closed', 'the engine is shutting down')
    this.check(request)
    if (this.listeners.size === 0) this.heardAt = performance.now()
    const reach = reachOf(request.promptIds, request.adapters, (digest) => this.adapters.get(digest) as Known)
    this.listeners.set(request.id, { onOutput, adapters: reach.adapters })
    this.post({ type: 'submit', request: { ...this.pack(request), ...reach, vocabSize: this.vocabularyOf(request.adapters) } })
  }

  abort(id: string): void {
    if (this.listeners.has(id)) this.post({ type: 'abort', id })
  }

  waitingAdapters(): string[] {
    const names = new Set<string>()
    for (const { adapters } of this.listeners.values())
      for (const { name, digest } of adapters) if (!this.residents.has(digest)) names.add(name)
    return [...names]
  }

  get silentMs(): number {
    return this.listeners.size === 0 ? 0 : performance.now() - this.heardAt
  }

  async idle(): Promise<void> {
    if (this.failure) return
    if (this.closing) return this.exited
    const ticket = this.nextTicket++
    await new Promise<void>((resolve) => {
      this.idleWaiters.set(ticket, resolve)
      this.post({ type: 'whenIdle', ticket })
    })
  }

  async look(whole: boolean): Promise<PoolLook | undefined> {
    if (this.failure || this.closing) return undefined
    return new Promise((resolve) => {
      this.looks.push(resolve)
      this.post({ type: 'look', whole })
    })
  }

  close(): Promise<void> {
    this.closing ??= (async () => {
      if (!this.failure) this.post({ type: 'close' })
      await this.exited
    })()
    return this.closing
  }

  /**
   * Token ids that exist for a request with these adapters: 0 to below it. Of an adapter whose table was resized its own; of a mix the fewest that any of its adapters
   * has, so that all of them have a row for each.
   */
  private vocabularyOf(adapters: readonly AdapterUse[]): number {
    if (adapters.length === 0) return this.info.vocabSize
    return Math.min(...adapters.map(({ digest }) => this.adapters.get(digest)?.vocabSize ?? this.info.vocabSize))
  }

  /** What can never run is refused here, before it waits. */
  private check(request: SequenceRequest): void {
    const { maxModelLen, blockSize, blockCount, blockBytes, frameBytes } = this.info
    const { id, promptIds, adapters } = request
    if (this.listeners.has(id)) throw new EngineError('duplicate_id', `a request with id ${id} is under way`)
    if (promptIds.length === 0) throw new EngineError('empty_prompt', 'the prompt must hold at least one token')
    if (request.pooling === undefined) this.checkGenerative(adapters)
    const room = request.pooling !== undefined || request.sampling.maxTokens === 0 ? maxModelLen : maxModelLen - 1
    if (promptIds.length > room)
      throw new EngineError(
        'context_length_exceeded',
        `the prompt holds ${promptIds.length} tokens; ${room < maxModelLen ? 'with at least one more to generate ' : ''}at most ${room} fit`,
      )
    const vocabSize = this.vocabularyOf(adapters)
    const odd = promptIds.find((token) => !(token >= 0 && token < vocabSize))
    if (odd !== undefined)
      throw new EngineError(
        'token_out_of_range',
        `token id ${odd} is not in the vocabulary ${ofWhom(adapters)}(0 to ${vocabSize - 1})`,
      )
    let blocks = Math.ceil(Math.min(promptIds.length + 1, maxModelLen) / blockSize)
    let frames = 0
    for (const use of adapters) {
      const known = this.adapters.get(use.digest)
      if (known === undefined)
        throw new EngineError('unknown_adapter', `adapter ${use.name} (${use.digest.slice(0, 12)}) is not known to the engine`)
      blocks += known.blocks
      frames += known.frames
    }
    const unranked = adapters.find(({ rank, digest }) => rank !== undefined && this.adapters.get(digest)?.ranked === false)
    if (unranked)
      throw new EngineError(
        'adapter_without_ranks',
        `${unranked.name} takes no rank: what it changes does not lie in rank rows alone (scales, as of IA3 and DoRA, or rows of ΔW written out); leave rank out`,
      )
    const activated = adapters.length > 1 && adapters.find(({ digest }) => this.adapters.get(digest)?.invocationTokens)
    if (activated)
      throw new EngineError(
        'adapter_not_mixable',
        `${activated.name} is an activated LoRA, which acts from its invocation tokens on, and cannot be mixed with adapters that act on the whole prompt; name it alone`,
      )
    blocks += Math.ceil((frames * frameBytes) / blockBytes)
    if (blocks > blockCount)
      throw new EngineError(
        'pool_too_small',
        `the prompt and its adapters need ${blocks} blocks of the pool, which has ${blockCount} (--pool)`,
      )
  }

  private checkGenerative(adapters: readonly AdapterUse[]): void {
    const instead = 'it serves /v1/embeddings, /pooling, /classify, /score and /rerank'
    if (this.info.headless)
      throw new EngineError('not_generative', `this model has no language-model head, so it generates no text; ${instead}`)
    const other = adapters.find(({ digest }) => this.adapters.get(digest)?.task)
    if (other)
      throw new EngineError(
        'not_generative',
        `${other.name} was trained for ${this.adapters.get(other.digest)?.task}, not to generate text (CAUSAL_LM); ${instead}`,
      )
  }

  private receive(message: FromEngine): void {
    this.heardAt = performance.now()
    switch (message.type) {
      case 'step':
        if (message.snapshot) this.snapshot = message.snapshot
        for (const digest of message.residents?.went ?? []) this.residents.delete(digest)
        for (const resident of message.residents?.came ?? [])
          this.residents.set(resident.digest, { ...resident, names: this.adapters.get(resident.digest)?.names ?? [] })
        for (const output of message.outputs) this.deliver(output)
        for (const step of message.steps ?? []) this.onStep?.(step)
        break
      case 'pool':
        this.looks.shift()?.(message.look)
        break
      case 'cached':
        this.cacheLooks.shift()?.(message.blocks)
        break
      case 'idle':
        this.snapshot = message.snapshot
        this.idleWaiters.get(message.ticket)?.()
        this.idleWaiters.delete(message.ticket)
        break
      case 'warning':
        this.onWarning?.(message.message)
        break
      case 'failed':
        this.fail(new EngineError('engine_failed', `the engine failed: ${message.message}`))
        break
    }
  }

  private deliver(output: SequenceOutput): void {
    const listener = this.listeners.get(output.id)
    if (output.finish) this.listeners.delete(output.id)
    listener?.onOutput(output)
  }

  /** The engine can go on no longer: every open sequence is told. */
  private fail(error: EngineError): void {
    if (this.failure) return
    this.failure = error
    for (const id of [...this.listeners.keys()])
      this.deliver({ id, tokens: [], finish: 'error', error: { code: error.code, message: error.message } })
    for (const resolve of this.idleWaiters.values()) resolve()
    this.idleWaiters.clear()
    this.endLooks()
    this.onFailure?.(error)
  }

  private endLooks(): void {
    for (const resolve of this.looks.splice(0)) resolve(undefined)
    for (const resolve of this.cacheLooks.splice(0)) resolve(undefined)
  }

  private post(message: ToEngine): void {
    this.worker.postMessage(message)
  }
}
