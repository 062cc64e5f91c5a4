/** What is told of answers that were ended before the model ended them, of WebSockets, and of responses that are kept. */
import { Counter, Gauge, type Registry } from 'prom-client'
import type { EngineSnapshot } from '../../runtime/index.ts'
import type { Conversations, EarlyEnd } from '../types.ts'

const EARLY_ENDS: readonly EarlyEnd[] = ['stop_string', 'one_call', 'left', 'other_failed']

type Labels = { model_name: string; engine: string }

/** Returns what is to be told of each sequence that was ended. */
export function conversationMetrics(
  registry: Registry,
  labels: Labels,
  now: () => Conversations,
  counters: () => EngineSnapshot['counters'],
): (reason: EarlyEnd) => void {
  const own = Object.keys(labels)
  const early = new Counter({
    name: 'lorikeet_ended_early_total',
    help: 'Sequences that the engine was told to end, by why.',
    labelNames: [...own, 'reason'],
    registers: [registry],
  })
  for (const reason of EARLY_ENDS) early.inc({ ...labels, reason }, 0)
  new Counter({
    name: 'lorikeet_early_aborts_total',
    help: 'Requests refused since their first token could not be expected in time, by what they would have waited for.',
    labelNames: [...own, 'reason'],
    registers: [registry],
    collect() {
      this.reset()
      const { lateForRoom, lateForTime } = counters()
      this.inc({ ...labels, reason: 'room' }, lateForRoom)
      this.inc({ ...labels, reason: 'time' }, lateForTime)
    },
  })
  const gauge = (name: string, help: string, value: (held: Conversations) => number) =>
    new Gauge({
      name,
      help,
      labelNames: own,
      registers: [registry],
      collect() {
        this.set(labels, value(now()))
      },
    })
  gauge('lorikeet_websockets', 'Open WebSockets of the Responses API.', ({ websockets }) => websockets())
  gauge('lorikeet_stored_responses', 'Responses that are kept.', ({ responses }) => responses().count)
  gauge('lorikeet_stored_response_bytes', 'Bytes that they take, roughly.', ({ responses }) => responses().bytes)
  return (reason) => early.inc({ ...labels, reason })
}
