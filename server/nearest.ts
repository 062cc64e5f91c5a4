/** "Did you mean …?", at a cost that does not depend on how many names there are: who asks for a wrong one may ask often. */

/** Longer names are compared by their first characters: names come from requests. */
const COMPARED = 64
/** More edits than this make another name, however long the two are. */
const MOST_EDITS = 8
/** Cells of distance tables that one question may fill: half a millisecond. */
const WORK = 100_000
/** What a name costs beside its table, in cells. */
const EACH = 16

/** Two rows of a distance table. */
const rows = [new Uint8Array(COMPARED + 1), new Uint8Array(COMPARED + 1)]

/** Levenshtein distance of texts of at most COMPARED characters, in the band around the diagonal where it can be `most`; more than `most` if it is more. */
function distance(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) > most) return most + 1
  let [before, row] = rows
  for (let j = 0; j <= Math.min(b.length, most); j++) before[j] = j
  for (let i = 1; i <= a.length; i++) {
    const from = Math.max(1, i - most)
    const to = Math.min(b.length, i + most)
    // Beside the band is more than `most`.
    row[from - 1] = from === 1 ? i : most + 1
    let least = row[from - 1]
    for (let j = from; j <= to; j++) {
      const above = j === i + most ? most + 1 : before[j] + 1
      row[j] = Math.min(above, row[j - 1] + 1, before[j - 1] + (a.charCodeAt(i - 1) === b.charCodeAt(j - 1) ? 0 : 1))
      least = Math.min(least, row[j])
    }
    if (least > most) return most + 1
    ;[before, row] = [row, before]
  }
  return before[b.length]
}

/**
 * Up to `limit` of `names` that are close to `name`, nearest first. Of more than can be compared with little work, those are that stand around its place in the
 * alphabet: `names` are sorted then, and most slips leave a name's beginning as it was.
 */
export function nearest(name: string, names: readonly string[], limit = 3): string[] {
  const wanted = name.slice(0, COMPARED).toLowerCase()
  const most = Math.min(MOST_EDITS, Math.max(2, Math.ceil(wanted.length / 3)))
  const found: { candidate: string; d: number }[] = []
  const each = EACH + wanted.length * (2 * most + 1)
  for (const candidate of around(name, names, Math.ceil(WORK / each))) {
    const other = candidate.slice(0, COMPARED).toLowerCase()
    const d = distance(wanted, other, most)
    if (d <= most || (wanted.length >= 3 && other.includes(wanted))) found.push({ candidate, d })
  }
  return found
    .sort((a, b) => a.d - b.d)
    .slice(0, limit)
    .map(({ candidate }) => candidate)
}

/** At most `count` of sorted `names`, those about where `name` would stand. */
function around(name: string, names: readonly string[], count: number): readonly string[] {
  if (names.length <= count) return names
  let low = 0
  let high = names.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (names[middle] < name) low = middle + 1
    else high = middle
  }
  const from = Math.max(0, Math.min(names.length - count, low - (count >> 1)))
  return names.slice(from, from + count)
}
