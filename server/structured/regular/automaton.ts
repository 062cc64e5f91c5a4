/** Deterministic automata over characters, of which there can be both, one without the other, and what they do not take; bounded, since that may make them grow without measure. */
import { type Characters, ConstraintError, characters } from '../ebnf.ts'
import { ALL, type Automaton, type Edge, type Regular } from './regular.ts'

/** States of one, and edges of all of one's states. */
const MOST_STATES = 4096
const MOST_EDGES = 1 << 16
/** Of the automaton that is not deterministic yet. */
const MOST_PARTS = 1 << 15
/** Steps of work for one. */
const MOST_WORK = 1 << 23

const tooLarge = () =>
  new ConstraintError(
    '',
    'together with what else holds there it makes too large an automaton; say it more simply, or with less repetition',
  )

class Parts {
  readonly silent: number[][] = []
  readonly edges: [set: Characters, to: number][][] = []

  state(): number {
    if (this.silent.length >= MOST_PARTS) throw tooLarge()
    this.edges.push([])
    return this.silent.push([]) - 1
  }

  /** From `from` on; returns where it ends. */
  add(one: Regular, from: number): number {
    switch (one.kind) {
      case 'chars': {
        const to = this.state()
        this.edges[from].push([one.set, to])
        return to
      }
      case 'seq':
        return one.parts.reduce((at, part) => this.add(part, at), from)
      case 'alt': {
        const to = this.state()
        for (const other of one.of) this.silent[this.add(other, this.fork(from))].push(to)
        return to
      }
      case 'repeat': {
        let at = from
        for (let i = 0; i < one.least; i++) at = this.add(one.what, at)
        if (one.most === undefined) {
          const loop = this.fork(at)
          this.silent[this.add(one.what, loop)].push(loop)
          return this.fork(loop)
        }
        const end = this.state()
        for (let i = one.least; i < one.most; i++) {
          this.silent[at].push(end)
          at = this.add(one.what, this.fork(at))
        }
        this.silent[at].push(end)
        return end
      }
      default:
        return this.embed(automatonOf(one), from)
    }
  }

  private fork(from: number): number {
    const to = this.state()
    this.silent[from].push(to)
    return to
  }

  private embed({ edges, accepts }: Automaton, from: number): number {
    const states = edges.map(() => this.state())
    const end = this.state()
    this.silent[from].push(states[0])
    for (const [i, own] of edges.entries()) {
      for (const { low, high, to } of own) this.edges[states[i]].push([[[low, high]], states[to]])
      if (accepts[i]) this.silent[states[i]].push(end)
    }
    return end
  }
}

/** States by their names, found one after the other. */
export function explored<State>(
  first: State,
  nameOf: (state: State) => string,
  accepts: (state: State) => boolean,
  next: (state: State) => Iterable<readonly [low: number, high: number, to: State]>,
): Automaton {
  const names = new Map([[nameOf(first), 0]])
  const states = [first]
  const edges: Edge[][] = []
  let count = 0
  for (let i = 0; i < states.length; i++) {
    const own: Edge[] = []
    for (const [low, high, to] of next(states[i])) {
      const name = nameOf(to)
      let at = names.get(name)
      if (at === undefined) {
        at = states.push(to) - 1
        names.set(name, at)
        if (states.length > MOST_STATES) throw tooLarge()
      }
      const last = own.at(-1)
      if (last && last.to === at && last.high + 1 === low) last.high = high
      else own.push({ low, high, to: at })
    }
    count += own.length
    if (count > MOST_EDGES) throw tooLarge()
    edges.push(own)
  }
  return smallest({ edges, accepts: states.map(accepts) })
}

/** Throws ConstraintError for one that would be too large. */
export function automatonOf(one: Regular): Automaton {
  if (one.kind === 'and') return one.of.map(automatonOf).reduce(both)
  if (one.kind === 'automaton') return one.automaton
  if (one.kind === 'not') return opposite(automatonOf(one.what))
  const parts = new Parts()
  const begin = parts.state()
  const end = parts.add(one, begin)
  let work = 0
  const closed = (states: Iterable<number>): number[] => {
    const all = new Set(states)
    for (const state of all) {
      for (const other of parts.silent[state]) all.add(other)
      if (++work > MOST_WORK) throw tooLarge()
    }
    // Those that only lead on say nothing of where one is.
    return [...all].filter((state) => state === end || parts.edges[state].length > 0).sort((a, b) => a - b)
  }
  return explored(
    closed([begin]),
    (states) => states.join(),
    (states) => states.includes(end),
    function* (states) {
      const ranges: [low: number, high: number, to: number][] = []
      for (const state of states)
        for (const [set, to] of parts.edges[state]) for (const [low, high] of set) ranges.push([low, high, to])
      for (const [low, high, targets] of pieces(ranges)) yield [low, high, closed(targets)] as const
      work += ranges.length
    },
  )
}

/** Ranges that overlap, as ranges that do not, each with all that hold it. */
function* pieces(ranges: readonly (readonly [number, number, number])[]): Iterable<[low: number, high: number, all: number[]]> {
  const bounds = [...new Set(ranges.flatMap(([low, high]) => [low, high + 1]))].sort((a, b) => a - b)
  const sorted = [...ranges].sort((a, b) => a[0] - b[0])
  let open: (readonly [number, number, number])[] = []
  let next = 0
  for (let i = 0; i + 1 < bounds.length; i++) {
    const [low, high] = [bounds[i], bounds[i + 1] - 1]
    open = open.filter(([, end]) => end >= low)
    while (next < sorted.length && sorted[next][0] === low) open.push(sorted[next++])
    if (open.length > 0) yield [low, high, [...new Set(open.map(([, , to]) => to))]]
  }
}

const NOWHERE = -1

/** Edges for every character, those that lead nowhere as well. */
function* whole(edges: readonly Edge[]): Iterable<[low: number, high: number, to: number]> {
  for (const [from, last] of ALL) {
    let at = from
    for (const { low, high, to } of edges) {
      if (high < from || low > last) continue
      if (Math.max(low, from) > at) yield [at, Math.max(low, from) - 1, NOWHERE]
      yield [Math.max(low, at), Math.min(high, last), to]
      at = Math.min(high, last) + 1
    }
    if (at <= last) yield [at, last, NOWHERE]
  }
}

/** Where two stand together; either may be nowhere, if `keep` lets it. */
function together(a: Automaton, b: Automaton, accepts: (a: boolean, b: boolean) => boolean): Automaton {
  const taken = (one: Automaton, state: number) => state !== NOWHERE && one.accepts[state]
  const edgesOf = (one: Automaton, state: number) => [...whole(state === NOWHERE ? [] : one.edges[state])]
  return explored<readonly [number, number]>(
    [0, 0],
    String,
    ([x, y]) => accepts(taken(a, x), taken(b, y)),
    function* ([x, y]) {
      const [left, right] = [edgesOf(a, x), edgesOf(b, y)]
      let [i, j] = [0, 0]
      while (i < left.length && j < right.length) {
        const low = Math.max(left[i][0], right[j][0])
        const high = Math.min(left[i][1], right[j][1])
        const to = [left[i][2], right[j][2]] as const
        const lost = (to[0] === NOWHERE && !accepts(false, true)) || (to[1] === NOWHERE && !accepts(true, false))
        if (low <= high && !lost && (to[0] !== NOWHERE || to[1] !== NOWHERE)) yield [low, high, to] as const
        if (left[i][1] === high) i++
        if (right[j][1] === high) j++
      }
    },
  )
}

export const both = (a: Automaton, b: Automaton): Automaton => together(a, b, (x, y) => x && y)
export const without = (a: Automaton, b: Automaton): Automaton => together(a, b, (x, y) => x && !y)
export const eitherOf = (a: Automaton, b: Automaton): Automaton => together(a, b, (x, y) => x || y)

const EVERYTHING: Automaton = { edges: [ALL.map(([low, high]) => ({ low, high, to: 0 }))], accepts: [true] }
export const opposite = (a: Automaton): Automaton => without(EVERYTHING, a)

export const takesNothing = ({ accepts }: Automaton): boolean => !accepts.includes(true)

export function takes({ edges, accepts }: Automaton, text: string): boolean {
  let at = 0
  for (const char of text) {
    const code = char.codePointAt(0) as number
    const edge = edges[at].find(({ low, high }) => code >= low && code <= high)
    if (!edge) return false
    at = edge.to
  }
  return accepts[at]
}

/** Without states that lead nowhere, and with equal ones made one. */
function smallest(one: Automaton): Automaton {
  const live = reaching(one)
  if (!live[0]) return { edges: [[]], accepts: [false] }
  const trimmed = one.edges.map((edges) => edges.filter(({ to }) => live[to]))
  // States of a class accept alike, and texts as long; until no class is split.
  const lengths = longest(trimmed, live)
  let classes = one.accepts.map((accepts, i) => 2 * lengths[i] + Number(accepts))
  let count = 0
  for (let work = 0; ; ) {
    const names = new Map<string, number>()
    const split = classes.map((own, i) => {
      if (!live[i]) return NOWHERE
      const name = `${own}:${joined(trimmed[i], classes)}`
      const known = names.get(name) ?? names.size
      names.set(name, known)
      return known
    })
    const done = names.size === count
    classes = split
    count = names.size
    if (done) break
    work += trimmed.length
    // Long chains are split one by one: those that stay larger than they must are right as well.
    if (work > MOST_WORK >> 3)
      return renumbered(
        trimmed,
        one.accepts,
        live.map((_, i) => i),
        live,
      )
  }
  return renumbered(trimmed, one.accepts, classes, live)
}

/** A state's edges with classes for their ends, neighbours made one. */
function joined(edges: readonly Edge[], classes: readonly number[]): string {
  let name = ''
  let [from, last, to] = [NOWHERE, NOWHERE, NOWHERE]
  for (const edge of [...edges, { low: -9, high: -9, to: -1 }]) {
    const target = edge.to < 0 ? NOWHERE : classes[edge.to]
    if (target === to && edge.low === last + 1) {
      last = edge.high
      continue
    }
    if (to !== NOWHERE) name += `${from}-${last}>${to},`
    ;[from, last, to] = [edge.low, edge.high, target]
  }
  return name
}

function renumbered(
  edges: readonly (readonly Edge[])[],
  accepts: readonly boolean[],
  classes: readonly number[],
  live: readonly boolean[],
): Automaton {
  const numbers = new Map([[classes[0], 0]])
  const states = [0]
  const made: Edge[][] = []
  for (let i = 0; i < states.length; i++) {
    const own: Edge[] = []
    for (const { low, high, to } of edges[states[i]]) {
      if (!live[to]) continue
      let at = numbers.get(classes[to])
      if (at === undefined) {
        at = states.push(to) - 1
        numbers.set(classes[to], at)
      }
      const last = own.at(-1)
      if (last && last.to === at && last.high + 1 === low) last.high = high
      else own.push({ low, high, to: at })
    }
    made.push(own)
  }
  return { edges: made, accepts: states.map((state) => accepts[state]) }
}

/** Characters that may still come, of states that all lead on to an end; 0 where there is no most. */
function longest(edges: readonly (readonly Edge[])[], live: readonly boolean[]): number[] {
  const lengths = edges.map(() => 0)
  const left = edges.map((own) => own.length)
  const back: number[][] = edges.map(() => [])
  for (const [from, own] of edges.entries()) for (const { to } of own) back[to].push(from)
  const open = edges.flatMap((own, i) => (live[i] && own.length === 0 ? [i] : []))
  for (const state of open) lengths[state] = 1
  for (let state = open.pop(); state !== undefined; state = open.pop())
    for (const from of back[state]) {
      if (--left[from] > 0) continue
      lengths[from] = 1 + Math.max(...edges[from].map(({ to }) => lengths[to]))
      open.push(from)
    }
  return lengths
}

/** From which there is a way to one that accepts. */
function reaching({ edges, accepts }: Automaton): boolean[] {
  const back: number[][] = edges.map(() => [])
  for (const [from, own] of edges.entries()) for (const { to } of own) back[to].push(from)
  const live = [...accepts]
  const open = accepts.flatMap((yes, i) => (yes ? [i] : []))
  for (let state = open.pop(); state !== undefined; state = open.pop())
    for (const from of back[state])
      if (!live[from]) {
        live[from] = true
        open.push(from)
      }
  return live
}

/** Characters that lead from a state to each of the next. */
export function targets(edges: readonly Edge[]): Map<number, Characters> {
  const byTarget = new Map<number, [number, number][]>()
  for (const { low, high, to } of edges) byTarget.set(to, [...(byTarget.get(to) ?? []), [low, high]])
  return new Map([...byTarget].map(([to, set]) => [to, characters(set)]))
}
