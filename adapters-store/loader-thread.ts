/** The loader thread's side of AdapterStore. */
import { parentPort, workerData } from 'node:worker_threads'
import { AdapterError } from './errors.ts'
import { type LoadOptions, loadAdapter } from './load.ts'
import type { LoadReply, LoadRequest } from './store.ts'
import type { BaseModel } from './types.ts'

const { base, options } = workerData as { base: BaseModel; options: LoadOptions }

parentPort!.on('message', ({ id, name, directory }: LoadRequest) => {
  let reply: LoadReply
  try {
    reply = { id, image: loadAdapter(name, directory, base, options) }
  } catch (error) {
    const { message } = error as Error
    reply = { id, error: error instanceof AdapterError ? { code: error.code, message } : { message: `${name}: ${message}` } }
  }
  parentPort!.postMessage(reply)
})
