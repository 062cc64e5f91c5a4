/** A loader thread's side of AdapterStore. */
import { constants, getPriority, setPriority } from 'node:os'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { AdapterError } from './errors.ts'
import { FileMemory } from './files.ts'
import { loadAdapter } from './load.ts'
import type { LoadRequest, ThreadReply } from './store.ts'
import type { BaseModel, LoadOptions } from './types.ts'

/** How long memory is kept for the next adapter. */
const IDLE_MS = 1000

const port = parentPort as MessagePort
const { base, options } = workerData as { base: BaseModel; options: LoadOptions }
const memory = new FileMemory()

// Requests that are being answered go first. On Linux this is the thread's own priority, which the addon's threads take over from it; elsewhere it would be
// the whole process's.
const { PRIORITY_BELOW_NORMAL } = constants.priority
if (process.platform === 'linux' && getPriority() < PRIORITY_BELOW_NORMAL) setPriority(PRIORITY_BELOW_NORMAL)

const idle = setTimeout(() => memory.release(), IDLE_MS)

port.on('message', ({ name, directory }: LoadRequest) => {
  let reply: ThreadReply
  try {
    reply = { type: 'loaded', image: loadAdapter(name, directory, base, options, memory) }
  } catch (error) {
    const { message } = error as Error
    const code = error instanceof AdapterError ? error.code : undefined
    reply = { type: 'failed', code, message: code ? message : `${name}: ${message}` }
  }
  port.postMessage(reply)
  idle.refresh()
})
