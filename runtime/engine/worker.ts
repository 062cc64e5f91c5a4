/** The engine's thread: a loop of steps around EngineCore, with messages taken in between. */
import { randomBytes } from 'node:crypto'
import { parentPort, workerData } from 'node:worker_threads'
import type { NativeEngine } from '../../native/types.ts'
import { EngineError } from '../errors.ts'
import { CacheEvents } from '../pool/cache-events.ts'
import type { EngineInfo } from '../types.ts'
import { CacheTeller } from './cache-teller.ts'
import { EngineCore } from './core.ts'
import { loadEngine } from './load.ts'
import type { FromEngine, ToEngine, WorkerData } from './messages.ts'
import { transferable } from './outputs.ts'
import { PoolMap } from './pool-map.ts'

/** A snapshot while steps go on is at most this old, in milliseconds. */
const SNAPSHOT_INTERVAL = 50

const port = parentPort as NonNullable<typeof parentPort>
/** `moved`: memory of the message that is the other thread's from now on, instead of being copied. */
const post = (message: FromEngine, moved: ArrayBuffer[] = []) => port.postMessage(message, moved)

class EngineLoop {
  private readonly core: EngineCore
  private readonly native: NativeEngine
  private readonly idleTickets: number[] = []
  private closing = false
  private wake: (() => void) | undefined
  private snapshotAt = 0
  /** Once somebody has looked. */
  private map: PoolMap | undefined
  /** Where somebody listens. */
  private teller: CacheTeller | undefined

  constructor(native: NativeEngine, info: EngineInfo, { settings }: WorkerData) {
    this.native = native
    this.core = new EngineCore(
      native,
      {
        blockCount: info.blockCount,
        blockSize: info.blockSize,
        frameBytes: info.frameBytes,
        vocabSize: info.vocabSize,
        maxModelLen: info.maxModelLen,
        maxBatchTokens: settings.maxBatchTokens,
        maxSequences: settings.maxSequences,
        longPrefillTokens: settings.longPrefillTokens,
        maxStepMs: settings.maxStepMs,
        fair: settings.fair,
        adapterCluster: settings.adapterCluster,
        draftTokens: settings.speculation?.tokens,
        prefixCache: settings.prefixCache,
        copiesAside: info.device === 'cuda',
        // The CPU computes a step and plans the next one with the same cores: planning early gains nothing there, and who comes meanwhile waits a step longer.
        overlap: settings.asyncScheduling ?? info.device === 'cuda',
        validate: settings.validate ?? false,
      },
      () => randomBytes(8).readBigUInt64LE(),
      (message) => post({ type: 'warning', message }),
    )
    post({ type: 'ready', info, snapshot: this.core.snapshot() })
  }

  receive(message: ToEngine): void {
    switch (message.type) {
      case 'submit':
        this.core.submit(message.request)
        break
      case 'abort':
        this.core.abort(message.id)
        break
      case 'adapter':
        this.core.addAdapter(message.image)
        break
      case 'removeAdapter':
        this.core.removeAdapter(message.digest)
        break
      case 'maskThread':
        this.core.addMaskThread(message.thread, () => this.wake?.())
        break
      case 'removeMaskThread':
        this.core.removeMaskThread(message.id)
        break
      case 'look': {
        // It changes nothing that the loop should wake for.
        this.map ??= new PoolMap(this.core.scheduler, this.core.pool)
        const look = this.map.look(message.whole)
        post({ type: 'pool', look }, [look.blocks.buffer, look.loads.buffer])
        return
      }
      case 'tellCache':
        this.core.pool.prefixes.events = new CacheEvents()
        this.teller = new CacheTeller(this.core.pool.prefixes.events, message.listener)
        return
      case 'cached': {
        // Whatever has changed since the last step is told first: number and blocks agree.
        this.teller?.flush(true)
        const hashes = [...this.core.pool.prefixes.hashes()]
        post({ type: 'cached', blocks: this.teller && { sequence: this.teller.sequence, hashes } })
        return
      }
      case 'whenIdle':
        this.idleTickets.push(message.ticket)
        break
      case 'close':
        this.closing = true
        break
    }
    this.wake?.()
  }

  async run(): Promise<void> {
    while (!this.closing) {
      // Outputs of a step are told while the next one computes: telling costs the step nothing.
      await this.core.step(() => this.tell(false))
      this.teller?.flush()
      if (this.core.stalled) {
        this.tell(false)
        await this.nextMessage()
      }
      if (!this.core.idle) continue
      this.tell(true)
      await this.nextMessage()
    }
    await this.core.failAll(new EngineError('engine_closed', 'the engine is shutting down'))
    this.tell(true)
    this.teller?.close()
    this.core.close()
    this.native.close()
    post({ type: 'closed' })
  }

  /** The engine can go on no longer; what came before that is told before it. */
  fail(error: Error): void {
    // Without a snapshot: it asks the addon, which may have lost its device.
    const outputs = this.core.takeOutputs()
    post({ type: 'step', outputs, steps: this.core.takeSteps() }, transferable(outputs))
    post({ type: 'failed', message: error instanceof EngineError ? error.message : (error.stack ?? error.message) })
  }

  private tell(idle: boolean): void {
    const outputs = this.core.takeOutputs()
    const due = idle || performance.now() - this.snapshotAt > SNAPSHOT_INTERVAL
    if (outputs.length > 0 || due) {
      if (due) this.snapshotAt = performance.now()
      const residents = this.core.pool.adapters.takeChanges()
      const message: FromEngine = {
        type: 'step',
        outputs,
        steps: this.core.takeSteps(),
        ...(residents && { residents }),
        ...(due && { snapshot: this.core.snapshot() }),
      }
      post(message, transferable(outputs))
    }
    if (idle) for (const ticket of this.idleTickets.splice(0)) post({ type: 'idle', ticket, snapshot: this.core.snapshot() })
  }

  private async nextMessage(): Promise<void> {
    if (this.closing) return
    await new Promise<void>((resolve) => {
      this.wake = resolve
    })
    this.wake = undefined
  }
}

try {
  const data = workerData as WorkerData
  const { native, info } = await loadEngine(data.settings, (fraction) => post({ type: 'progress', fraction }))
  const loop = new EngineLoop(native, info, data)
  port.on('message', (message: ToEngine) => loop.receive(message))
  loop
    .run()
    .catch((error: Error) => loop.fail(error))
    .finally(() => port.close())
} catch (error) {
  const { code, message } = error as Error & { code?: string }
  post({ type: 'unready', code: code ?? 'engine_failed', message })
  port.close()
}
