/** Threads that try constraints before one is let near the masks of others: what loops, or eats memory, ends its thread and nothing else. */
import type { Worker } from 'node:worker_threads'
import type { Source } from './convert.ts'
import { ConstraintError } from './ebnf.ts'
import { startThread } from './mask-thread.ts'
import type { Order, Report, ThreadData } from './messages.ts'
import type { Vocabulary } from './vocabulary.ts'

/** At once: a constraint that takes long keeps one of them, and not all others waiting. */
const THREADS = 2

export interface Tried {
  source: Source
  milliseconds: number
}

interface Job {
  /** The constraint as JSON. */
  text: string
  vocabulary: Vocabulary
  resolve: (tried: Tried) => void
  reject: (error: Error) => void
}

/** Jobs of one tenant. */
interface Line {
  waiting: Job[]
  running: number
}

/** Threads that one tenant may keep busy: another's turn comes without waiting for what it is slow with. Where nobody says whose a request is, all are anybody's. */
const ONE_TENANTS = THREADS - 1

export class Trials {
  private readonly milliseconds: number
  private readonly data: ThreadData
  /** Whose turn is next comes first. */
  private readonly lines = new Map<string | undefined, Line>()
  private readonly idle: Trial[] = []
  private count = 0
  private closed = false

  /** `milliseconds` that one may take. */
  constructor(milliseconds: number, mostBytes: number) {
    this.milliseconds = milliseconds
    this.data = { mostBytes, trial: true }
  }

  /** A constraint as JSON: one of each tenant in turn, those of one in the order of their coming. Rejects with ConstraintError for what cannot be had. */
  run(text: string, vocabulary: Vocabulary, tenant: string | undefined): Promise<Tried> {
    return new Promise((resolve, reject) => {
      const line = this.lines.get(tenant) ?? { waiting: [], running: 0 }
      this.lines.set(tenant, line)
      line.waiting.push({ text, vocabulary, resolve, reject })
      this.next()
    })
  }

  close(): void {
    this.closed = true
    for (const trial of this.idle.splice(0)) trial.end()
    for (const { waiting } of this.lines.values())
      for (const { reject } of waiting.splice(0)) reject(new Error('the server is closing'))
  }

  private next(): void {
    const [tenant, line] =
      [...this.lines].find(
        ([tenant, { waiting, running }]) => waiting.length > 0 && (tenant === undefined || running < ONE_TENANTS),
      ) ?? []
    if (!line) return
    const trial = this.idle.pop() ?? (this.count < THREADS ? this.another() : undefined)
    if (!trial) return
    const job = line.waiting.shift() as Job
    line.running++
    this.lines.delete(tenant)
    this.lines.set(tenant, line)
    trial
      .run(job.text, job.vocabulary, this.milliseconds)
      .then(job.resolve, job.reject)
      .finally(() => {
        line.running--
        if (line.running === 0 && line.waiting.length === 0) this.lines.delete(tenant)
        if (trial.dead || this.closed) {
          this.count--
          trial.end()
        } else this.idle.push(trial)
        this.next()
      })
  }

  private another(): Trial {
    this.count++
    return new Trial(this.data)
  }
}

/** Milliseconds in which a thread starts and takes a vocabulary: no constraint's doing. A large one takes half a second, and ten on a busy machine at low priority. */
const START_MS = 60_000

class Trial {
  dead = false
  private readonly worker: Worker
  private readonly known = new Set<number>()
  private jobs = 0
  private fail: ((error: Error) => void) | undefined

  constructor(data: ThreadData) {
    this.worker = startThread(data)
    const gone = () => this.fail?.(new ConstraintError('', 'it takes more memory than a grammar may; ask for less at once'))
    this.worker.on('error', gone)
    this.worker.on('exit', () => {
      this.dead = true
      gone()
    })
  }

  async run(text: string, vocabulary: Vocabulary, milliseconds: number): Promise<Tried> {
    const job = this.jobs++
    if (!this.known.has(vocabulary.id)) {
      const ready = this.next(
        START_MS,
        new Error('the thread that compiles grammars has not started'),
        (report) => report.type === 'ready',
      )
      this.post({ type: 'vocabulary', vocabulary })
      await ready
      this.known.add(vocabulary.id)
    }
    const late = new ConstraintError('', `it takes more than ${milliseconds / 1000} s to compile; ask for less at once`)
    const answer = this.next(milliseconds, late, (report) => 'job' in report && report.job === job)
    this.post({ type: 'try', job, vocabulary: vocabulary.id, text })
    const report = await answer
    if (report.type === 'refused') throw new ConstraintError(report.at, report.message)
    return report as Extract<Report, { type: 'tried' }>
  }

  /** Its next report of a kind. Rejects with `late`, or when it ends: it is dead then. */
  private async next(milliseconds: number, late: Error, wanted: (report: Report) => boolean): Promise<Report> {
    let take: (report: Report) => void = () => undefined
    let timer: NodeJS.Timeout | undefined
    try {
      return await new Promise<Report>((resolve, reject) => {
        this.fail = reject
        take = (report) => wanted(report) && resolve(report)
        this.worker.on('message', take)
        timer = setTimeout(() => {
          this.end()
          reject(late)
        }, milliseconds)
      })
    } finally {
      clearTimeout(timer)
      this.fail = undefined
      this.worker.off('message', take)
    }
  }

  end(): void {
    this.dead = true
    this.worker.terminate()
  }

  private post(order: Order): void {
    this.worker.postMessage(order)
  }
}
