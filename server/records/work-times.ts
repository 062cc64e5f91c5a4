/** Reading the times of a request off what the engine tells of its sequences. */
import type { SequenceOutput } from '../../runtime/index.ts'
import type { WorkTimes } from './record.ts'

/** Takes up what one output brought. `before`: the sequence's share of steps as it was told last; returns it as it is now. */
export function noteOutput(times: WorkTimes, output: SequenceOutput, before: number): number {
  const { scheduledAt, load, tokens, deviceMs = before } = output
  if (scheduledAt !== undefined) times.scheduledAt = Math.min(scheduledAt, times.scheduledAt ?? scheduledAt)
  if (load)
    times.load = {
      from: Math.min(load.from, times.load?.from ?? load.from),
      to: Math.max(load.to, times.load?.to ?? load.to),
    }
  times.lastAt = Date.now()
  if (tokens.length > 0) times.firstTokenAt ??= times.lastAt
  times.deviceMs += deviceMs - before
  return deviceMs
}
