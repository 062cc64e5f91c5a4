/** The norms that one adapter needs: gathered while its sites are folded, computed together, by other threads too where they are free. */
import type { BaseWeights } from '../base.ts'
import type { FileFactors } from '../factors.ts'
import type { Site } from '../types.ts'
import { abandon, finish, type NormJob, normJob, workOn } from './job.ts'
import { type NormTask, normTask } from './squares.ts'

/** Makes a job known to threads that have nothing to do. They may come at any time, or not at all. */
export type CallForHelp = (job: NormJob) => void

export class RowNorms {
  readonly #base: BaseWeights
  readonly #callForHelp: CallForHelp | undefined
  readonly #tasks: NormTask[] = []
  readonly #receivers: ((squares: Float64Array) => void)[] = []

  constructor(base: BaseWeights, callForHelp?: CallForHelp) {
    this.#base = base
    this.#callForHelp = callForHelp
  }

  /** `receive` is given ‖W + s B A‖² of every row by compute(). Shape: [out]. */
  ask(site: Site, factors: FileFactors, receive: (squares: Float64Array) => void): void {
    this.#tasks.push(normTask(site.weight, site.inFeatures, site.outFeatures, factors))
    this.#receivers.push(receive)
  }

  compute(): void {
    const job = normJob(this.#tasks)
    if (job.pieces.length > 1) this.#callForHelp?.(job)
    try {
      while (workOn(job, this.#base));
      finish(job, this.#base)
    } finally {
      abandon(job)
    }
    for (const [i, receive] of this.#receivers.entries()) receive(job.tasks[i].squares)
  }
}
