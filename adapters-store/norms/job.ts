/** Norms of many projections as one job, cut into pieces that any thread may take. */
import type { BaseWeights } from '../base.ts'
import { type NormTask, squareNorms } from './squares.ts'

export interface NormJob {
  tasks: NormTask[]
  pieces: Piece[]
  /** In shared memory: [NEXT] the next piece to take; [DONE + i] 1 when piece i is done. */
  state: Int32Array
}

/** Rows [first, last) of a task. */
interface Piece {
  task: number
  first: number
  last: number
}

const NEXT = 0
const DONE = 1
/** Products in a piece: some tens of milliseconds, after which a helping thread looks whether it has an adapter to load. */
const PIECE_PRODUCTS = 256e6
/** But no fewer rows, because each piece decodes A once. */
const PIECE_ROWS = 256
/** Longer than a piece takes. */
const PATIENCE_MS = 2000

export function normJob(tasks: NormTask[]): NormJob {
  const pieces = tasks.flatMap(({ inFeatures, outFeatures, factors }, task) => {
    const rows = Math.max(PIECE_ROWS, Math.ceil(PIECE_PRODUCTS / (inFeatures * factors.rank)))
    const count = Math.ceil(outFeatures / rows)
    return Array.from({ length: count }, (_, i) => ({ task, first: i * rows, last: Math.min(outFeatures, (i + 1) * rows) }))
  })
  return { tasks, pieces, state: new Int32Array(new SharedArrayBuffer(4 * (DONE + pieces.length))) }
}

/** Takes a piece and does it. False if none is left to take. */
export function workOn(job: NormJob, base: BaseWeights): boolean {
  const i = Atomics.add(job.state, NEXT, 1)
  if (i >= job.pieces.length) return false
  doPiece(job, i, base)
  return true
}

/** After all pieces are taken: returns when they are done. One that another thread took and lost is done here, after `patience` milliseconds. */
export function finish(job: NormJob, base: BaseWeights, patience = PATIENCE_MS): void {
  job.pieces.forEach((_, i) => {
    const outcome = Atomics.wait(job.state, DONE + i, 0, patience)
    if (outcome === 'timed-out') doPiece(job, i, base)
  })
}

/** No more pieces are to be taken. */
export function abandon(job: NormJob): void {
  Atomics.store(job.state, NEXT, job.pieces.length)
}

/** Doing one twice is harmless: the results are the same. */
function doPiece({ tasks, pieces, state }: NormJob, i: number, base: BaseWeights): void {
  const { task, first, last } = pieces[i]
  squareNorms(tasks[task], first, last, base)
  Atomics.store(state, DONE + i, 1)
  Atomics.notify(state, DONE + i)
}
