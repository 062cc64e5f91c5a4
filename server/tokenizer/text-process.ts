/** One process that does jobs over texts, as its parent holds it. Low priority, bounded heap, no core file; whatever it does, it ends when it is told to. */
import { type ChildProcess, fork } from 'node:child_process'
import { existsSync } from 'node:fs'
import { ApiError } from '../errors.ts'
import type { Answer, Job, Order } from './process-jobs.ts'

/** A large vocabulary is read in about a second; on a busy machine at low priority in some ten. */
const START_MS = 60_000
/**
 * A shell sets what Node cannot, and becomes the process. No core file: a heap that overflows aborts the process, and where core files are allowed (Docker's default often) each
 * time hundreds of megabytes lay in the server's folder. Low priority, of all threads: a long prompt must not take a core from those that compute everybody's steps.
 */
const SHELL = '/bin/sh'
const LIMITED = 'ulimit -c 0; if command -v nice >/dev/null; then exec nice -n 10 "$0" "$@"; fi; exec "$0" "$@"'

/** The job took more than it may: time or memory. The message begins with "took more than". */
export class Overrun extends Error {}

export class TextProcess {
  /** Resolves when it can take jobs, rejects when it never will. */
  readonly ready: Promise<unknown>
  /** It is gone, or will be: it takes no job. */
  dead = false
  private readonly child: ChildProcess
  /** Ends what is under way with an error: the start, or a job. */
  private fail: ((error: Error) => void) | undefined
  private timer: NodeJS.Timeout | undefined
  private started = false

  /** `args` are those of process.ts. */
  constructor(args: readonly string[], heapMegabytes: number) {
    const flags = [`--max-old-space-size=${heapMegabytes}`]
    this.child = fork(new URL('./process.js', import.meta.url), args, {
      ...(existsSync(SHELL) ? { execPath: SHELL, execArgv: ['-c', LIMITED, process.execPath, ...flags] } : { execArgv: flags }),
      // Templates show the date.
      env: process.env.TZ === undefined ? {} : { TZ: process.env.TZ },
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    })
    const failed = new ApiError('text_process_lost', 'the process that reads texts could not be started; try again')
    this.child.on('error', () => this.end(failed))
    // A heap that overflows aborts the process; SIGKILL is ours, which has said why already, or somebody else's.
    this.child.on('exit', (_, signal) =>
      this.end(
        !this.started
          ? failed
          : signal === 'SIGKILL'
            ? new ApiError('text_process_lost', 'the process that reads texts was killed; try again')
            : new Overrun(`took more than ${heapMegabytes} MB`),
      ),
    )
    this.ready = this.next(START_MS, failed).then(() => {
      this.started = true
    })
    this.ready.catch(() => undefined)
  }

  /** One job at a time. Rejects with Overrun when it takes more milliseconds, or more memory, than it may; the process is dead then. */
  run(job: Job, milliseconds: number): Promise<Answer> {
    const answer = this.next<Answer>(milliseconds, new Overrun(`took more than ${milliseconds} ms`))
    try {
      this.child.send({ job, milliseconds } satisfies Order)
    } catch (error) {
      // JSON nested some thousands deep: writing it takes more stack than reading it did.
      this.fail?.(error as Error)
    }
    return answer
  }

  /** Nobody waits for the job any more: it has this many milliseconds left. */
  hurry(milliseconds: number): void {
    if (this.started && this.fail) this.endIn(milliseconds, new Overrun(`took more than ${milliseconds} ms`))
  }

  /** Ends it now, and what is under way with `error`. */
  end(error: Error): void {
    this.dead = true
    this.child.kill('SIGKILL')
    this.fail?.(error)
  }

  /** Its next message. Meanwhile it keeps the server awake; idle it does not, and it ends when the server's end closes its channel. */
  private async next<T>(milliseconds: number, late: Error): Promise<T> {
    this.hold(true)
    let take: ((message: T) => void) | undefined
    try {
      return await new Promise<T>((resolve, reject) => {
        take = resolve
        this.fail = reject
        this.child.once('message', take)
        this.endIn(milliseconds, late)
      })
    } finally {
      if (take) this.child.off('message', take)
      clearTimeout(this.timer)
      this.fail = undefined
      this.hold(false)
    }
  }

  private endIn(milliseconds: number, error: Error): void {
    clearTimeout(this.timer)
    this.timer = setTimeout(() => this.end(error), milliseconds)
  }

  private hold(busy: boolean): void {
    for (const handle of [this.child, this.child.channel])
      if (busy) handle?.ref()
      else handle?.unref()
  }
}
