/** Stop strings over streamed text: what could still become one is held back until that is decided. */

export class StopStrings {
  private readonly stops: string[]
  private readonly include: boolean
  private held = ''

  /** `include`: the stop string itself is given out too. */
  constructor(stops: string[], include: boolean) {
    this.stops = stops
    this.include = include
  }

  /** Adds text. Returns what may be given out now, and the stop string that ended it, if one did: of several the one that starts first. */
  push(text: string): { text: string; stop?: string } {
    if (this.stops.length === 0) return { text }
    this.held += text
    let at = -1
    let found = ''
    for (const stop of this.stops) {
      const i = this.held.indexOf(stop)
      if (i >= 0 && (at < 0 || i < at || (i === at && stop.length > found.length))) {
        at = i
        found = stop
      }
    }
    if (at >= 0) {
      const given = this.held.slice(0, this.include ? at + found.length : at)
      this.held = ''
      return { text: given, stop: found }
    }
    const keep = this.possibleStart()
    const given = this.held.slice(0, this.held.length - keep)
    this.held = this.held.slice(this.held.length - keep)
    return { text: given }
  }

  /** No more text comes: what was held back is text after all. */
  flush(): string {
    const given = this.held
    this.held = ''
    return given
  }

  /** Length of the longest end of the held text that is the start of a stop string. */
  private possibleStart(): number {
    let longest = 0
    for (const stop of this.stops)
      for (let n = Math.min(stop.length - 1, this.held.length); n > longest; n--)
        if (this.held.endsWith(stop.slice(0, n))) {
          longest = n
          break
        }
    return longest
  }
}
