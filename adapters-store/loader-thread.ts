/** A loader thread's side of AdapterStore. */
import { constants, getPriority, setPriority } from 'node:os'
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { asAdapterError } from './errors.ts'
import { AdapterFolder, FileMemory } from './files.ts'
import { ImageCache } from './image-cache.ts'
import { requireWithin } from './limits.ts'
import { loadAdapter } from './load.ts'
import type { LoaderThreadData, LoadRequest, ThreadReply } from './store.ts'
import { nothingKnown, type TextKnowledge } from './text/read.ts'
import type { AdapterImage } from './types.ts'

const port = parentPort as MessagePort
const { base, options, cache: settings, texts: before } = workerData as LoaderThreadData
const cache = settings && new ImageCache(settings, base, options)
const memory = new FileMemory()
const texts: TextKnowledge = before ?? nothingKnown()

// Requests that are being answered go first. On Linux this is the thread's own priority, which the addon's threads take over from it; elsewhere it would be
// the whole process's.
const { PRIORITY_BELOW_NORMAL } = constants.priority
if (process.platform === 'linux' && getPriority() < PRIORITY_BELOW_NORMAL) setPriority(PRIORITY_BELOW_NORMAL)

/** From the cache, or made and kept there. */
function cached(name: string, directory: string, root: string): AdapterImage {
  const load = () => loadAdapter(name, directory, base, options, memory, root, texts)
  if (!cache) return load()
  // Where links may lead is asked before what they lead to is looked at.
  new AdapterFolder(directory, root)
  const found = cache.find(name, directory)
  if (found) {
    requireWithin(options.limits, { rank: found.maxRank, bytes: found.image.byteLength })
    return found
  }
  const before = cache.identify(directory)
  const image = load()
  cache.keep(directory, before, image)
  return image
}

port.on('message', ({ name, directory, root }: LoadRequest) => {
  let reply: ThreadReply
  const knew = texts.version
  try {
    const image = cached(name, directory, root)
    reply = { type: 'loaded', image, texts: texts.version === knew ? undefined : texts }
  } catch (error) {
    const { code, message, detail } = asAdapterError(error)
    reply = { type: 'failed', code, message, detail }
  }
  port.postMessage(reply)
})
