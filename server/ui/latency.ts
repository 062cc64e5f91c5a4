/** How long things took in the last second or so, by counts in buckets that grow by a constant factor: what a value costs does not depend on how many there are. */

const LEAST_MS = 0.01
const PER_OCTAVE = 8
const BUCKETS = 24 * PER_OCTAVE

export interface Quantiles {
  count: number
  /** Milliseconds, within 5 %; null when there was nothing. */
  p50: number | null
  p99: number | null
}

export class LatencyWindow {
  private readonly counts = new Uint32Array(BUCKETS)
  private count = 0

  add(seconds: number): void {
    const at = Math.round(Math.log2(Math.max(1, (seconds * 1000) / LEAST_MS)) * PER_OCTAVE)
    this.counts[Math.min(BUCKETS - 1, at)]++
    this.count++
  }

  /** Of all since the last call. */
  take(): Quantiles {
    const { count } = this
    const taken = { count, p50: this.quantile(0.5), p99: this.quantile(0.99) }
    if (count > 0) this.counts.fill(0)
    this.count = 0
    return taken
  }

  private quantile(part: number): number | null {
    let left = Math.ceil(this.count * part)
    for (let at = 0; at < BUCKETS && left > 0; at++) {
      left -= this.counts[at]
      if (left <= 0) return Number((LEAST_MS * 2 ** (at / PER_OCTAVE)).toPrecision(3))
    }
    return null
  }
}

/** What a watched server's requests tell. */
export class Latencies {
  readonly first = new LatencyWindow()
  readonly between = new LatencyWindow()

  firstToken(seconds: number): void {
    this.first.add(seconds)
  }

  interToken(seconds: number): void {
    this.between.add(seconds)
  }
}
