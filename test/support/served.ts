/** A server in this process on a free port, as `lorikeet serve` makes it. */
import { configOf } from '../../server/config/config.ts'
import { type ServeHooks, serve } from '../../server/serve.ts'
import type { Serving } from '../../server/types.ts'
import { idleComplaints } from './oracle.ts'

export interface Served {
  url: string
  /** Of the admin port, if there is one. */
  adminUrl?: string
  serving: Serving
  /** Few adapters have been loaded, or refused. */
  preloaded: Promise<void>
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
  const { address, adminAddress, serving, preloaded, close } = await serve(
    configOf({ port: 0, 'log-level': 'fatal', ...settings }),
    hooks,
  )
  t.teardown(close)
  return {
    url: address,
    adminUrl: adminAddress,
    serving,
    preloaded,
    async post(path, body, headers = {}) {
      const init = { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) }
      const response = await fetch(`${address}${path}`, init)
      return { status: response.status, headers: response.headers, body: await response.json() }
    },
    async idleComplaints() {
      await serving.engine.idle()
      return idleComplaints(serving.engine.snapshot)
    },
  }
}
