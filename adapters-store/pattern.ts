/**
 * Matching module names the way PEFT does. The patterns are Python regular expressions that come with the adapter, so they are not trusted:
 * `(.|.)(.|.)…!` takes twice as long for each pair of brackets. All that one adapter's patterns take together, over all modules, has one limit.
 */
import { createContext, Script } from 'node:vm'

/**
 * For a whole load. Names are short, so honest patterns need a millisecond or two: 500 names as patterns on 500 modules take two, 500 expressions on 500 modules 30 to 100. It is time of the clock, in a
 * thread of low priority: on a machine with ten times more to do than cores an honest one must still have enough.
 */
const LIMIT_MS = 1000
/** Parsing cannot be interrupted; this much takes a millisecond. An alternation of a thousand module names has 50,000 characters. */
const LONGEST = 1 << 16

/** How PEFT wraps the patterns of each field before it calls re.match. `^` is what re.match adds. */
export const FORMS = {
  /** rank_pattern, alpha_pattern: utils/other.py, get_pattern_key. */
  suffix: (key: string) => `^(.*\\.)?(${key})$`,
  /** target_modules, exclude_modules given as one string: re.fullmatch. */
  whole: (key: string) => `^(?:${key})$`,
  /** modules_to_save, where targets are looked for: tuners_utils.py, check_target_module_exists. */
  within: (key: string) => `^(?:(^|.*\\.)${key}($|\\..*))`,
  /** layers_pattern: the first number after it is the layer. */
  layer: (key: string) => `^(?:(?:^|.*?\\.)${key}\\.(?<idx>\\d+)\\.)`,
  /** re.match as it is. */
  start: (key: string) => `^(?:${key})`,
}

export interface Found {
  /** Index of the first pattern that fits. */
  pattern: number
  groups?: Record<string, string>
}

/** Only a script can be timed out; making a context costs a millisecond, so there is one. `at` tells what was being tried when the time was over. */
const runner = new Script(`names.forEach((name, n) => {
  for (at = 0; at < expressions.length; at++) {
    const { pattern, expression } = expressions[at]
    if (found[n] && found[n].pattern < pattern) return
    const match = expression.exec(name)
    if (match) {
      found[n] = { pattern, groups: match.groups }
      return
    }
  }
})`)
interface Task {
  names: string[]
  expressions: { pattern: number; expression: RegExp }[]
  found: (Found | undefined)[]
  at: number
}
let sandbox: Task | undefined

/** A pattern that cannot be used; the message names its field. */
export class PatternError extends Error {
  constructor(field: string, key: string, reason: string) {
    const shown = JSON.stringify(key.length > 80 ? `${key.slice(0, 77)}…` : key)
    super(`${field}: the pattern ${shown} ${reason}; name the modules instead`)
    this.name = 'PatternError'
  }
}

/** JavaScript cannot read it, or would read something else than Python. */
export class UnreadablePattern extends PatternError {}

/** One adapter's patterns and the time that they have left. */
export class PatternMatcher {
  #left: number

  constructor(milliseconds = LIMIT_MS) {
    this.#left = milliseconds
  }

  /**
   * The first of `patterns` that fits, per name. Throws PatternError for a pattern that has no time left, and as UnreadablePattern for
   * one that JavaScript reads otherwise than Python or that is too long.
   */
  first(field: string, patterns: string[], names: string[], form: (key: string) => string): (Found | undefined)[] {
    const start = performance.now()
    const left = () => this.#left - (performance.now() - start)
    const found: (Found | undefined)[] = names.map(() => undefined)
    const expressions: Task['expressions'] = []
    const ends = form === FORMS.suffix ? endsOf(names) : new Map<string, number[]>()
    for (const [pattern, key] of patterns.entries()) {
      if (left() <= 0) throw this.#late(field, key)
      const plain = form === FORMS.suffix && PLAIN.exec(key)
      const named = plain && ends.get(plain[1].replaceAll('\\.', '.'))
      if (named) for (const n of named) found[n] ??= { pattern }
      else expressions.push({ pattern, expression: expressionOf(field, key, form) })
    }
    if (expressions.length > 0) this.#run(field, patterns, { names, expressions, found, at: 0 }, Math.floor(left()))
    this.#left = left()
    return found
  }

  #run(field: string, patterns: string[], task: Task, timeout: number): void {
    sandbox ??= createContext({}) as Task
    Object.assign(sandbox, task)
    // The time may be up when the last one has just been tried.
    const tried = () => patterns[task.expressions[Math.min((sandbox as Task).at, task.expressions.length - 1)].pattern]
    if (timeout < 1) throw this.#late(field, tried())
    try {
      runner.runInContext(sandbox, { timeout })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw this.#late(field, tried())
      throw new PatternError(field, tried(), `cannot be matched: ${(error as Error).message}`)
    }
  }

  #late(field: string, key: string): PatternError {
    this.#left = 0
    return new PatternError(field, key, `took longer than ${LIMIT_MS} ms to match, with those before it`)
  }
}

function expressionOf(field: string, key: string, form: (key: string) => string): RegExp {
  if (key.length > LONGEST) throw new UnreadablePattern(field, key, `has ${key.length} characters; at most ${LONGEST} are read`)
  try {
    new RegExp(key, 'u') // by itself: a `)(` must not close the brackets around it
    // With the u flag every escape that JavaScript lacks (\A, \Z, (?P<…>)) is an error instead of a letter.
    return new RegExp(form(key), 'u')
  } catch {
    throw new UnreadablePattern(field, key, 'is not a regular expression that this server reads like Python')
  }
}

/**
 * What nearly every adapter has instead of a pattern: a module's name or the end of one. Looked up, because a large model has 560 of them and so has
 * its adapter's config. (As a pattern its dots would fit other letters too; what no module is called is tried as one.)
 */
const PLAIN = /^((?:\w|\.|\\\.)+)\$?$/

/** The names, and what is left of each behind each of its dots → indices of those that end so. */
function endsOf(names: string[]): Map<string, number[]> {
  const ends = new Map<string, number[]>()
  for (const [n, name] of names.entries()) {
    for (let start = 0; ; ) {
      const end = name.slice(start)
      const others = ends.get(end)
      if (others) others.push(n)
      else ends.set(end, [n])
      const dot = name.indexOf('.', start)
      if (dot < 0) break
      start = dot + 1
    }
  }
  return ends
}
