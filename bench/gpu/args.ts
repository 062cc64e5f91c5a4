/** What every program of the GPU check takes. */
import { parseArgs } from 'node:util'
import type { Device } from '../../native/types.ts'
import { Results } from './results.ts'

const COMMON = { device: { type: 'string', default: 'cuda' }, results: { type: 'string' } } as const

/** `--device cuda|cpu`, `--results PREFIX` and a program's own options, all with defaults. */
export function readArgs<T extends Record<string, string>>(defaults: T): { device: Device; results: Results; values: T } {
  const own = Object.fromEntries(
    Object.entries(defaults).map(([name, value]) => [name, { type: 'string' as const, default: value }]),
  )
  const { values } = parseArgs({ options: { ...COMMON, ...own } })
  const { device, results } = values as unknown as { device: string; results?: string }
  if (device !== 'cpu' && device !== 'cuda') throw new Error(`--device must be cuda or cpu, not ${device}`)
  return { device, results: new Results(results, device === 'cuda'), values: values as unknown as T }
}
