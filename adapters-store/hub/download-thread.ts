/** The thread of HubDownloads. */
import { parentPort, workerData } from 'node:worker_threads'
import { asAdapterError } from '../errors.ts'
import { Hub } from './hub.ts'
import type { DownloadReply, DownloadRequest, DownloadThreadData } from './messages.ts'

const { settings } = workerData as DownloadThreadData
const tell = (reply: DownloadReply) => parentPort?.postMessage(reply)
const hub = new Hub(settings, {
  onProgress: (progress) => tell({ type: 'progress', progress }),
  onWarning: (message) => tell({ type: 'warning', message }),
})
const waiting = new Map<number, AbortController>()

parentPort?.on('message', async (request: DownloadRequest) => {
  const { id } = request
  if (request.type === 'leave') return waiting.get(id)?.abort(new Error('nobody waits for it'))
  const left = new AbortController()
  waiting.set(id, left)
  try {
    tell({ type: 'fetched', id, folder: await hub.fetch(request.name, request.kind, left.signal, request.maxBytes) })
  } catch (error) {
    const { code, message, detail } = asAdapterError(error)
    tell({ type: 'failed', id, code, message, detail })
  } finally {
    waiting.delete(id)
  }
})
