/** Which names a request may call this server by. */

/** What only this machine can reach. */
export const isLoopback = (host: string) => /^(localhost|::1|127(\.\d{1,3}){3})$/i.test(host)

const LOCAL = ['localhost', '127.0.0.1', '[::1]']

/**
 * Whether a request's Host is this server's: a page from elsewhere whose name resolves to 127.0.0.1 (DNS rebinding) can read what a server on loopback answers, and all it cannot
 * help saying is its name. Where keys are asked for it has none; where the server listens to others its names are not known here.
 */
export function hostCheck(listening: string, others: readonly string[]): (host: string | undefined) => boolean {
  const known = new Set(
    [...LOCAL, listening.includes(':') ? `[${listening}]` : listening, ...others].map((name) => name.toLowerCase()),
  )
  // HTTP/1.0 needs none, and no browser speaks it.
  return (host) => host === undefined || known.has(host.replace(/:\d*$/, '').toLowerCase())
}

/** Whether a WebSocket's `origin` may open it. WebSockets know no same-origin rule: any page could open one to here, and read what comes. What is no browser sends no origin, and could send any. */
export function sameOrigin(origin: string | undefined, host: string | undefined, others: readonly string[]): boolean {
  if (origin === undefined || others.includes('*') || others.includes(origin.toLowerCase())) return true
  return host !== undefined && URL.canParse(origin) && new URL(origin).host === host.toLowerCase()
}
