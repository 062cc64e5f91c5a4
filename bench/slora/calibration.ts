/** What the real engine's time is made of, and how near a virtual one comes to it. */
import { seeded } from '../../test/support/pace.ts'
import type { TraceRequest } from '../open-loop.ts'
import { median, quantile } from '../report.ts'
import type { Load } from './core-load.ts'
import type { Cost, WatchedEngine } from './engines.ts'
import type { Machine } from './machine.ts'
import { errorsOf, fitted } from './step-cost.ts'

/** Requests at once of which every step is another mix: base and adapters, alone and shared, long and short, and fewer and fewer in the end. */
function mixed(count: number, adapters: number): TraceRequest[] {
  const { next, below } = seeded(12)
  return Array.from({ length: count }, (_, i) => ({
    adapter: next() < 0.3 ? -1 : next() < 0.5 ? below(4) : below(adapters),
    prompt: 8 + below(300),
    output: 8 + below(i % 3 === 0 ? 200 : 60),
    at: 0,
  }))
}

export interface Calibration {
  cost: Cost
  steps: number
  /** Relative, of the steps' times: the middle one and the nine in ten. */
  errors: { median: number; p90: number }
}

/** Runs twice `count` requests on the real engine and fits what they cost: with steps bounded in time, as served, and as long as they like, so that large chunks are among them. */
export async function calibrate(
  machine: Machine,
  engine: WatchedEngine,
  vocabulary: number,
  count: number,
): Promise<Calibration> {
  const imageOf = (i: number) => (i < 0 ? undefined : machine.images[i])
  const load = (requests: TraceRequest[]): Load => ({ requests, imageOf, vocabulary, sloMs: 1 })
  // The pool's pages are touched for the first time, and threads started.
  await machine.really(engine, load(mixed(8, machine.images.length)))
  engine.forget()
  const requests = load(mixed(count, machine.images.length))
  const bounded = await machine.really(engine, requests)
  const free = await machine.really(engine, requests, { maxStepMs: 0 })
  const { steps, copies, copiedMb } = engine
  const step = fitted(steps)
  const errors = errorsOf(step, steps)
  const copyMs = copies.reduce((sum, { ms }) => sum + ms, 0)
  const inSteps = steps.reduce((sum, { ms }) => sum + ms, 0)
  const around = Math.max(0, (bounded.wallMs + free.wallMs - inSteps - copyMs) / steps.length)
  return {
    cost: { step, copyMb: copyMs / copiedMb, around },
    steps: steps.length,
    errors: { median: median(errors), p90: quantile(errors, 0.9) },
  }
}
