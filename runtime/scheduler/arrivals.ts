/** Who is held back because its adapters' bytes are still on their way to the device, and for how long. */
import type { AdapterResidency } from '../pool/residency.ts'
import type { Sequence } from './sequence.ts'

/** Steps that a sequence lets pass while its adapters are on their way; then the device waits for them. */
export const HOLD_LIMIT = 16
/** Sequences held back at once. More copies would only queue, and each takes the engine's thread to begin. */
export const HELD_AT_ONCE = 8

export function arrived(sequence: Sequence, adapters: AdapterResidency): boolean {
  for (const use of sequence.uses) if (!adapters.ready(use.digest)) return false
  return true
}

/** Those of `running` that may compute in this step: whoever is held back waits one step more, or goes on. */
export function readyOf(running: readonly Sequence[], adapters: AdapterResidency): Sequence[] {
  return running.filter((sequence) => {
    if (sequence.heldFor === undefined) return true
    const released = sequence.heldFor >= HOLD_LIMIT || arrived(sequence, adapters)
    sequence.heldFor = released ? undefined : sequence.heldFor + 1
    return released
  })
}

/** When nothing else can run, the device waits for the adapters of the first that is held back, and who waits for no later ones comes along. */
export function releaseFirst(running: readonly Sequence[], adapters: AdapterResidency): Sequence[] {
  const first = running.find((sequence) => sequence.heldFor !== undefined)
  if (!first) return []
  // Copies arrive in the order in which they were begun.
  const latest = latestCopy(first, adapters)
  const along = running.filter((sequence) => sequence.heldFor !== undefined && latestCopy(sequence, adapters) <= latest)
  for (const sequence of along) sequence.heldFor = undefined
  return along
}

function latestCopy(sequence: Sequence, adapters: AdapterResidency): number {
  let latest = 0
  for (const use of sequence.uses) latest = Math.max(latest, adapters.get(use.digest)?.generation ?? 0)
  return latest
}
