/** Work with a limit of time, on the thread that asks for it. What loops is cut off; a single long operation is not. */
import { createContext, Script } from 'node:vm'

/**
 * Milliseconds. What is tried on the main thread takes 1 to 3 with the tokenizers and templates that we know, some ten while it is compiled or the machine is busy.
 */
const MOST_MS = 20
/** Overruns after which nothing is tried any more: a model's own tokenizer or template may be made to hang. */
const MOST_OVERRUNS = 3

const context = createContext({ work: undefined }) as { work: (() => unknown) | undefined }
const script = new Script('work()')

/** What `work` returns or throws; undefined: it took longer. The watch is a thread of its own: 0.04 ms, half a millisecond while all cores compute. */
export function cutOff<T>(milliseconds: number, work: () => T): { value: T } | undefined {
  context.work = work
  try {
    return { value: script.runInContext(context, { timeout: milliseconds }) as T }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
    return undefined
  } finally {
    context.work = undefined
  }
}

/** Of short work on the thread that serves everybody. */
export class Watchdog {
  private overruns = 0

  /** undefined: it was not done, or not to its end. */
  attempt<T>(work: () => T): { value: T } | undefined {
    if (this.overruns === MOST_OVERRUNS) return undefined
    const done = cutOff(MOST_MS, work)
    if (!done) this.overruns++
    return done
  }
}
