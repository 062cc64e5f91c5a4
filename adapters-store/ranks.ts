/** Which adapters can be had with some of their ranks only. */
import { type AdapterImage, ENTRY, ENTRY_FIELDS } from './types.ts'

/** Whether all that an adapter changes is made of rank rows, and biases: of these some can be left out. Scales and written-out rows have none, and DoRA's scales are those of its full rank. */
export function hasRanks({ entries }: Pick<AdapterImage, 'entries'>): boolean {
  for (let at = 0; at < entries.length; at += ENTRY_FIELDS) {
    if (entries[at + ENTRY.outScale] >= 0 || entries[at + ENTRY.inScale] >= 0) return false
    if (entries[at + ENTRY.rank] > 0 && entries[at + ENTRY.b] < 0) return false
  }
  return true
}
