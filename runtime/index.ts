/** The engine: `startEngine` makes a worker thread that loads the model and schedules; what comes back is its hold on the main thread. */

import { Worker } from 'node:worker_threads'
import { withoutTelemetry } from '../native/index.ts'
import { EngineClient } from './engine/client.ts'
import type { FromEngine, WorkerData } from './engine/messages.ts'
import { EngineError } from './errors.ts'
import type { Engine, EngineSettings } from './types.ts'

export { cudaObstacles } from './cuda-obstacles.ts'
export { type EnginePlan, namedDtype, planEngine } from './engine/load.ts'
export type { FromMasks, ToMasks } from './engine/masks.ts'
export { type EngineMemory, engineMemory, packedBytes } from './engine/memory.ts'
export { BLOCK_STATES, LOAD_FIELDS, STATE_BITS } from './engine/pool-map.ts'
export { EngineError, type EngineErrorCode } from './errors.ts'
export { POOLED_SAMPLING } from './pooled.ts'
export type * from './types.ts'

/** Of the engine's heap. What a step leaves is small and dies with it; V8 would let it grow to 48. */
const YOUNG_MEGABYTES = 12

/**
 * Loads the model in a thread of its own. `onProgress` gets the fraction of the weights read, 0 to 1.
 * Rejects with the reason (an error with a `code`) when the model or the settings cannot be served.
 */
export async function startEngine(settings: EngineSettings, onProgress: (fraction: number) => void = () => {}): Promise<Engine> {
  const data: WorkerData = { settings }
  withoutTelemetry()
  const worker = new Worker(new URL('./engine/worker.js', import.meta.url), {
    workerData: data,
    name: 'lorikeet-engine',
    resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MEGABYTES },
  })
  return await new Promise<Engine>((resolve, reject) => {
    const receive = (message: FromEngine) => {
      if (message.type === 'progress') return onProgress(message.fraction)
      worker.off('message', receive)
      worker.off('error', reject)
      worker.off('exit', ended)
      if (message.type === 'ready') resolve(new EngineClient(worker, message.info, message.snapshot))
      else if (message.type === 'unready') reject(Object.assign(new Error(message.message), { code: message.code }))
    }
    const ended = () => reject(new EngineError('engine_failed', "the engine's thread ended while it loaded the model"))
    worker.on('message', receive)
    worker.once('error', reject)
    worker.once('exit', ended)
  })
}
