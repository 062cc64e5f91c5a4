/** How many threads compute by default. */
import { readdirSync, readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'

const TOPOLOGY = '/sys/devices/system/cpu'

/** Physical cores by Linux's topology; undefined elsewhere. */
function physicalCores(): number | undefined {
  try {
    const cpus = readdirSync(TOPOLOGY).filter((name) => /^cpu\d+$/.test(name))
    const cores = cpus.map((cpu) => readFileSync(path.join(TOPOLOGY, cpu, 'topology/thread_siblings_list'), 'utf8'))
    return new Set(cores).size || undefined
  } catch {
    return undefined
  }
}

/** The physical cores that this process may use: two threads of one core share its vector units, so a second one adds nothing to a product. */
export function computingThreads(): number {
  return Math.min(availableParallelism(), physicalCores() ?? Number.POSITIVE_INFINITY)
}
