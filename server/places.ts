/** How much may be in flight at a time: requests, and what runs without one (turns of a WebSocket, responses in the background). */
import type { Caller } from './access/caller.ts'
import { limitReached } from './errors.ts'

export class Places {
  private readonly limit: number
  private inFlight = 0

  constructor(limit: number) {
    this.limit = limit
  }

  /** Throws ApiError when there is no place. */
  refuseOneMore(): void {
    if (this.inFlight >= this.limit)
      throw limitReached(
        { of: 'server', name: 'max-concurrent-requests', value: this.limit },
        `the server has ${this.limit} requests in flight already (--max-concurrent-requests); try again in a second`,
      )
  }

  /** Takes a place, of the caller's own too; what is returned, called once, gives them back. Throws ApiError when there is none. */
  take({ quota }: Caller): () => void {
    this.refuseOneMore()
    const leave = quota.enter()
    this.inFlight++
    return () => {
      this.inFlight--
      leave()
    }
  }
}
