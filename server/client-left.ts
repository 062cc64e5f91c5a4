/** Whether the one who asked is still there. */
import { ClientLeft } from './tokenizer/process-pool.ts'

/** How long an answer is waited for: a FastifyReply, or what stands for one where an answer is no HTTP response of its own. */
export interface Lasting {
  raw: { readonly destroyed: boolean; once(event: 'close', listener: () => void): unknown }
}

/** Aborted, with ClientLeft, when the connection closes before the answer is over (and after it, when nobody listens any more). */
export function leaving(reply: Lasting): AbortSignal {
  const left = new AbortController()
  if (reply.raw.destroyed) left.abort(new ClientLeft())
  else reply.raw.once('close', () => left.abort(new ClientLeft()))
  return left.signal
}

/** An answer that is no HTTP response: of a connection's message, or of work in the background. It lasts until it is ended. */
export class Lifetime implements Lasting {
  readonly raw: Lasting['raw']
  private readonly listeners: (() => void)[] = []
  private over = false

  constructor() {
    const isOver = () => this.over
    this.raw = {
      get destroyed() {
        return isOver()
      },
      once: (_event, listener) => this.listeners.push(listener),
    }
  }

  /** Once: everybody who waits for the close is told. */
  end(): void {
    if (this.over) return
    this.over = true
    for (const listener of this.listeners.splice(0)) listener()
  }
}
