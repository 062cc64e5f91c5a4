/** A loader thread's side of AdapterStore. */
import { constants, getPriority, setPriority } from 'node:os'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { asAdapterError } from './errors.ts'
import { FileMemory } from './files.ts'
import { loadAdapter } from './load.ts'
import type { LoadRequest, ThreadReply } from './store.ts'
import type { BaseModel, LoadOptions } from './types.ts'

const port = parentPort as MessagePort
const { base, options } = workerData as { base: BaseModel; options: LoadOptions }
const memory = new FileMemory()

// Requests that are being answered go first. On Linux this is the thread's own priority, which the addon's threads take over from it; elsewhere it would be
// the whole process's.
const { PRIORITY_BELOW_NORMAL } = constants.priority
if (process.platform === 'linux' && getPriority() < PRIORITY_BELOW_NORMAL) setPriority(PRIORITY_BELOW_NORMAL)

port.on('message', ({ name, directory, root }: LoadRequest) => {
  let reply: ThreadReply
  try {
    reply = { type: 'loaded', image: loadAdapter(name, directory, base, options, memory, root) }
  } catch (error) {
    const { code, message, detail } = asAdapterError(error)
    reply = { type: 'failed', code, message, detail }
  }
  port.postMessage(reply)
})
