/** Short work on the thread that serves everybody, cut off when it loops for long; a single operation is not. */
import { createContext, Script } from 'node:vm'

/**
 * Milliseconds. What is tried here takes 1 to 3 with the tokenizers and templates that we know, some ten while it is compiled or the machine is busy; the watch itself costs 0.04.
 */
const MOST_MS = 20
/** Overruns after which nothing is tried any more: a model's own tokenizer or template may be made to hang. */
const MOST_OVERRUNS = 3

const context = createContext({ work: undefined }) as { work: (() => unknown) | undefined }
const script = new Script('work()')

export class Watchdog {
  private overruns = 0

  /** What `work` returns or throws; undefined: it was not done, or not to its end. */
  attempt<T>(work: () => T): { value: T } | undefined {
    if (this.overruns === MOST_OVERRUNS) return undefined
    context.work = work
    try {
      return { value: script.runInContext(context, { timeout: MOST_MS }) as T }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error
      this.overruns++
      return undefined
    } finally {
      context.work = undefined
    }
  }
}
