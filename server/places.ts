/** How much may be in flight at a time: requests, and what runs without one (turns of a WebSocket, responses in the background). */
import type { Caller } from './access/caller.ts'
import { ApiError } from './errors.ts'

export class Places {
  private readonly limit: number
  private inFlight = 0

  constructor(limit: number) {
    this.limit = limit
  }

  /** Throws ApiError when there is no place. */
  refuseOneMore(): void {
    if (this.inFlight >= this.limit)
      throw new ApiError('too_many_requests', `the server has ${this.limit} requests in flight already; try again in a second`)
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
