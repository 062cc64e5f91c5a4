/** Stop strings over streamed text: what could still become one is held back until that is decided. */

const ROOT = 0

/**
 * All stop strings of a request as one automaton (Aho and Corasick 1975): a state is a start of a stop string, and reading a UTF-16 unit leads to the longest such start that
 * the text now ends with. Building it costs what the strings hold together (65,536 units: 6 to 26 ms), reading one transition a unit, amortized, however many strings there are.
 * Looking for each string by itself cost 33 s for 64 strings of 1,024 units that were nearly matched.
 */
export class StopAutomaton {
  /** Units of the state's start. */
  readonly depth: Int32Array
  /** Units of the longest stop string that a text in this state ends with; 0: none. */
  readonly matched: Int32Array
  /** The longest shorter start that ends alike. */
  private readonly shorter: Int32Array
  /** The state that goes on from `parent` with `unit`, in an open hash table of the two; 0, the root, is nobody's: a free place. */
  private readonly places: Int32Array
  private readonly parent: Int32Array
  private readonly unit: Uint16Array
  private states = 1

  constructor(stops: readonly string[]) {
    const most = stops.reduce((sum, { length }) => sum + length, 1)
    this.depth = new Int32Array(most)
    this.matched = new Int32Array(most)
    this.shorter = new Int32Array(most)
    this.parent = new Int32Array(most)
    this.unit = new Uint16Array(most)
    // At most half full.
    this.places = new Int32Array(2 << Math.ceil(Math.log2(most)))
    for (const stop of stops) this.add(stop)
    for (const state of this.byDepth()) {
      const from = this.parent[state]
      this.shorter[state] = from === ROOT ? ROOT : this.step(this.shorter[from], this.unit[state])
      if (this.matched[state] === 0) this.matched[state] = this.matched[this.shorter[state]]
    }
  }

  /** The state after one more unit. */
  step(from: number, unit: number): number {
    for (let state = from; ; state = this.shorter[state]) {
      const to = this.places[this.placeOf(state, unit)]
      if (to !== ROOT || state === ROOT) return to
    }
  }

  private add(stop: string): void {
    let state = ROOT
    for (let i = 0; i < stop.length; i++) {
      const unit = stop.charCodeAt(i)
      const place = this.placeOf(state, unit)
      if (this.places[place] === ROOT) {
        const to = this.states++
        this.places[place] = to
        this.depth[to] = i + 1
        this.parent[to] = state
        this.unit[to] = unit
      }
      state = this.places[place]
    }
    this.matched[state] = stop.length
  }

  /** The root aside. What a state leads back to is not as deep: going by depth, it is there before it is needed. */
  private byDepth(): Int32Array {
    const depths = this.depth.subarray(1, this.states)
    const ends = new Int32Array(this.depth.length + 1)
    for (const depth of depths) ends[depth + 1]++
    for (let depth = 1; depth < ends.length; depth++) ends[depth] += ends[depth - 1]
    const sorted = new Int32Array(depths.length)
    for (let i = 0; i < depths.length; i++) sorted[ends[depths[i]]++] = i + 1
    return sorted
  }

  /** Where that state stands in `places`, or would. */
  private placeOf(state: number, unit: number): number {
    const mask = this.places.length - 1
    let place = (Math.imul(state, 0x9e3779b1) ^ Math.imul(unit, 0x85ebca6b)) >>> 0
    place = (place ^ (place >>> 15)) & mask
    for (;;) {
      const there = this.places[place]
      if (there === ROOT || (this.parent[there] === state && this.unit[there] === unit)) return place
      place = (place + 1) & mask
    }
  }
}

/** One choice's text. */
export class StopStrings {
  private readonly automaton: StopAutomaton
  private readonly include: boolean
  private state = ROOT
  private held = ''

  /** `include`: the stop string itself is given out too. */
  constructor(automaton: StopAutomaton, include: boolean) {
    this.automaton = automaton
    this.include = include
  }

  /**
   * Adds text. Returns what may be given out now, and the stop string that ended it, if one did: of several in what has come so far the one that starts first, and
   * of those the longest.
   */
  push(text: string): { text: string; stop?: string } {
    const { automaton, held } = this
    if (automaton.depth.length === 1) return { text }
    const all = held + text
    let start = all.length
    let end = 0
    for (let i = held.length; i < all.length; i++) {
      this.state = automaton.step(this.state, all.charCodeAt(i))
      const length = automaton.matched[this.state]
      if (length > 0 && i + 1 - length <= start) {
        start = i + 1 - length
        end = i + 1
      }
      // Nothing that starts as early can come any more.
      if (end > 0 && i + 1 - automaton.depth[this.state] > start) break
    }
    if (end > 0) {
      this.reset()
      return { text: all.slice(0, this.include ? end : start), stop: all.slice(start, end) }
    }
    const sure = all.length - automaton.depth[this.state]
    this.held = all.slice(sure)
    return { text: all.slice(0, sure) }
  }

  /** No more text comes: what was held back is text after all. */
  flush(): string {
    const given = this.held
    this.reset()
    return given
  }

  private reset(): void {
    this.held = ''
    this.state = ROOT
  }
}
