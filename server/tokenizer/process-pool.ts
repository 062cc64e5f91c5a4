/** Processes that do jobs over texts, and the queue before them. */
import type { Answer, Job, LearnJob } from './process-jobs.ts'
import { TextProcess } from './text-process.ts'

/**
 * Milliseconds that a job goes on after its client left. Most are done by then; ending the process instead costs a new start, and letting it run would be work that a client gets
 * for the price of leaving.
 */
const GRACE_MS = 1000

/** The client left: there is nobody to answer. */
export class ClientLeft extends Error {
  constructor() {
    super('the client left')
  }
}

export interface Lesson {
  job: LearnJob
  milliseconds: number
}

/** Takes the process that has become free. */
type Turn = (process: TextProcess) => void

export class ProcessPool {
  private readonly size: number
  private readonly start: () => TextProcess
  private readonly processes = new Set<TextProcess>()
  private readonly idle: TextProcess[] = []
  private readonly turns = new Set<Turn>()

  /** Each is started when a job needs it. */
  constructor(size: number, args: readonly string[], heapMegabytes: number) {
    this.size = size
    this.start = () => new TextProcess(args, heapMegabytes)
  }

  /**
   * Does a job, in the order of their coming. Rejects with Overrun, or with ClientLeft as soon as `signal` says so: a job that waits is dropped then. A request has one job at
   * a time, so that the limit of requests bounds the queue. `lesson`: what a process that does not know the job's tokenizer is taught first.
   */
  async run(job: Job, milliseconds: number, signal: AbortSignal, lesson?: Lesson): Promise<Answer> {
    const process = await this.turn(signal)
    const done = process.ready.then(async () => {
      if (signal.aborted) throw new ClientLeft()
      const answer = await process.run(job, milliseconds)
      if (!('unknown' in answer) || !lesson) return answer
      const learnt = await process.run(lesson.job, lesson.milliseconds)
      return 'error' in learnt ? learnt : process.run(job, milliseconds)
    })
    const free = () => this.release(process)
    done.then(free, free)
    return unless(signal, done, () => process.hurry(GRACE_MS))
  }

  /** Starts the first process, so that the first job finds it ready. */
  warm(): void {
    if (this.processes.size === 0) this.release(this.another())
  }

  close(): void {
    for (const process of this.processes) process.end(new Error('the server is closing'))
  }

  private async turn(signal: AbortSignal): Promise<TextProcess> {
    if (signal.aborted) throw new ClientLeft()
    for (let process = this.idle.pop(); process; process = this.idle.pop()) {
      if (!process.dead) return process
      this.processes.delete(process)
    }
    if (this.processes.size < this.size) return this.another()
    let take: Turn = () => undefined
    const mine = new Promise<TextProcess>((resolve) => {
      take = resolve
    })
    this.turns.add(take)
    return unless(signal, mine, () => {
      // It may have been given a process in this very tick.
      if (!this.turns.delete(take)) mine.then((process) => this.release(process))
    })
  }

  private another(): TextProcess {
    const process = this.start()
    this.processes.add(process)
    return process
  }

  private release(process: TextProcess): void {
    if (process.dead) this.processes.delete(process)
    const [turn] = this.turns
    if (!turn) {
      if (!process.dead) this.idle.push(process)
      return
    }
    this.turns.delete(turn)
    turn(process.dead ? this.another() : process)
  }
}

/** `result`, or ClientLeft once the signal comes; `onLeft` is called then. */
function unless<T>(signal: AbortSignal, result: Promise<T>, onLeft: () => void): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const left = () => {
      onLeft()
      reject(new ClientLeft())
    }
    const settle = () => signal.removeEventListener('abort', left)
    signal.addEventListener('abort', left, { once: true })
    result.then(resolve, reject).finally(settle)
  })
}
