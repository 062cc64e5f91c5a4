/** How much memory there is. */
import { totalmem } from 'node:os'

/** Bytes that the machine has, or that cgroups let this process have if that is less. */
export function machineMemory(): number {
  const limit = process.constrainedMemory()
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem()
}
