/** What is told of answers that are held to a format. */
import { Counter, type Registry } from 'prom-client'
import type { Grammars } from '../types.ts'

type Labels = { model_name: string; engine: string }

export function grammarMetrics(registry: Registry, labels: Labels, counters: () => Grammars['counters']): void {
  const own = Object.keys(labels)
  new Counter({
    name: 'lorikeet_grammars_total',
    help: 'Constraints of requests, by what came of them: compiled, refused, or found compiled (reused).',
    labelNames: [...own, 'outcome'],
    registers: [registry],
    collect() {
      this.reset()
      const { threadsLost: _, ...outcomes } = counters()
      for (const [outcome, count] of Object.entries(outcomes)) this.inc({ ...labels, outcome }, count)
    },
  })
  new Counter({
    name: 'lorikeet_mask_threads_lost_total',
    help: 'Threads that kept answers to their format and were lost; what they constrained ended with an error.',
    labelNames: own,
    registers: [registry],
    collect() {
      this.reset()
      this.inc(labels, counters().threadsLost)
    },
  })
}
