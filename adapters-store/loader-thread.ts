/** A loader thread's side of AdapterStore. */
import { constants, getPriority, setPriority } from 'node:os'
import { type MessagePort, parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { BaseWeights } from './base.ts'
import { AdapterError } from './errors.ts'
import { FileMemory } from './files.ts'
import { type LoadOptions, loadAdapter } from './load.ts'
import { type NormJob, workOn } from './norms/job.ts'
import type { LoadRequest, ThreadReply, ThreadTask } from './store.ts'
import type { BaseModel } from './types.ts'
import { workspace } from './wasm/workspace.ts'

/** How long memory is kept for the next adapter. */
const IDLE_MS = 1000

const port = parentPort as MessagePort
const { base, options } = workerData as { base: BaseModel; options: LoadOptions }
const memory = new FileMemory()

// Requests that are being answered go first. On Linux this is the thread's own priority; elsewhere it would be the whole process's.
const { PRIORITY_BELOW_NORMAL } = constants.priority
if (process.platform === 'linux' && getPriority() < PRIORITY_BELOW_NORMAL) setPriority(PRIORITY_BELOW_NORMAL)

const idle = setTimeout(() => {
  memory.release()
  workspace().reset()
}, IDLE_MS)

port.on('message', handle)

function handle(task: ThreadTask): void {
  if (task.type === 'load') load(task)
  else help(task.job)
  idle.refresh()
}

function load({ name, directory }: LoadRequest): void {
  let reply: ThreadReply
  try {
    const callForHelp = (job: NormJob) => port.postMessage({ type: 'help', job } satisfies ThreadReply)
    reply = { type: 'loaded', image: loadAdapter(name, directory, base, options, { memory, callForHelp }) }
  } catch (error) {
    const { message } = error as Error
    const code = error instanceof AdapterError ? error.code : undefined
    reply = { type: 'failed', code, message: code ? message : `${name}: ${message}` }
  }
  port.postMessage(reply)
}

/** Takes piece after piece of another thread's job; an adapter that is to be loaded meanwhile goes first. */
function help(job: NormJob): void {
  const weights = new BaseWeights(base)
  try {
    while (workOn(job, weights)) {
      const next = receiveMessageOnPort(port)
      if (next) handle(next.message)
    }
  } catch {
    // The piece stays undone, and whoever asked does it and meets the error.
  } finally {
    weights.close()
  }
}
