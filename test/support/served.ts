/** A server in this process on a free port, as `lorikeet serve` makes it. */
import { configOf } from '../../server/config/config.ts'
import type { KvEvents } from '../../server/kv-events/publisher.ts'
import { type ServeHooks, serve } from '../../server/serve.ts'
import type { Serving } from '../../server/types.ts'
import { ApiDocument, type Document, type Told } from './api-document.ts'
import { idleComplaints } from './oracle.ts'

export interface Served {
  url: string
  /** Of the admin port, if there is one. */
  adminUrl?: string
  serving: Serving
  /** Where they are published. */
  kvEvents?: KvEvents
  /** Few adapters have been loaded, or refused. */
  preloaded: Promise<void>
  /** The answer is held to the API document when the test ends: then it costs no test its time. */
  // biome-ignore lint/suspicious/noExplicitAny: the tests assert on what the answer holds
  post(path: string, body: unknown, headers?: Record<string, string>): Promise<{ status: number; headers: Headers; body: any }>
  /** Waits until nothing is in flight; what is wrong with the pool's accounting then. */
  idleComplaints(): Promise<string[]>
}

/** `settings` are the flags of `lorikeet serve`. The server is closed when the test ends. */
export async function startServed(
  t: { teardown(handler: () => Promise<void>): unknown },
  settings: Parameters<typeof configOf>[0],
  hooks: ServeHooks = {},
): Promise<Served> {
  const { address, adminAddress, app, serving, kvEvents, preloaded, close } = await serve(
    configOf({ port: 0, 'log-level': 'fatal', ...settings }),
    hooks,
  )
  const answers: (Told & { path: string })[] = []
  t.teardown(async () => {
    try {
      requireDocumented(new ApiDocument(app.swagger() as unknown as Document), answers)
    } finally {
      await close()
    }
  })
  return {
    url: address,
    adminUrl: adminAddress,
    serving,
    kvEvents,
    preloaded,
    async post(path, body, headers = {}) {
      const init = { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) }
      const response = await fetch(`${address}${path}`, init)
      const { status, headers: told } = response
      const text = await response.text()
      answers.push({ path, status, headers: told, text })
      return { status, headers: told, body: JSON.parse(text) }
    },
    async idleComplaints() {
      await serving.engine.idle()
      return idleComplaints(serving.engine.snapshot)
    },
  }
}

function requireDocumented(document: ApiDocument, answers: readonly (Told & { path: string })[]): void {
  for (const { path, ...told } of answers) {
    const operation = document.find('POST', path.split('?')[0])
    const complaint = operation && document.complaintOf(operation, told)
    if (complaint) throw new Error(`the API document does not have this answer: ${complaint}`)
  }
}
