/** Whether requests should be sent here: what `/ready` says beside the engine's health, and what is refused while the server drains. */
import { ApiError } from './errors.ts'

/** Adapters that were pinned when the server started and are not in host memory yet. */
export interface MissingPinned {
  count: number
  /** Of these, those that could not be loaded. */
  refused: number
}

const DRAINING = 'the server is closing and begins nothing more; ask again, elsewhere'

export class Readiness {
  private readonly missing: () => MissingPinned
  private readonly listeners: (() => void)[] = []
  private ending = false

  constructor(missing: () => MissingPinned = () => ({ count: 0, refused: 0 })) {
    this.missing = missing
  }

  /** What is in flight goes on, and nothing that generates begins any more. */
  get draining(): boolean {
    return this.ending
  }

  /** From now on the server drains; once. */
  drain(): void {
    if (this.ending) return
    this.ending = true
    for (const listener of this.listeners.splice(0)) listener()
  }

  /** `listener` is called when the server begins to drain. */
  onDrain(listener: () => void): void {
    if (this.ending) listener()
    else this.listeners.push(listener)
  }

  /** Throws ApiError while the server drains: its client is to ask again, which a load balancer leads elsewhere by then. */
  refuseWhileDraining(): void {
    if (this.ending) throw new ApiError('server_draining', DRAINING)
  }

  /** Throws ApiError with the reason for which nothing should be sent here. The page is open to everybody, so no adapter is named. */
  require(): void {
    const { reason } = this
    if (reason) throw reason
  }

  /** undefined: none. */
  get reason(): ApiError | undefined {
    if (this.ending) return new ApiError('server_draining', DRAINING)
    const { count, refused } = this.missing()
    if (count === 0) return undefined
    const which = count === 1 ? 'one pinned adapter is' : `${count} pinned adapters are`
    const failing = refused === 0 ? '' : `, and ${refused} of them cannot be loaded: the log says why`
    return new ApiError('pinned_adapters_missing', `${which} not in host memory yet${failing}`)
  }
}
