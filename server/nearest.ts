/** "Did you mean …?" */

/** Levenshtein distance, two rows at a time. */
function distance(a: string, b: string): number {
  let before = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++)
      row[j] = Math.min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1))
    before = row
  }
  return before[b.length]
}

/** Longer names are compared by their first characters: names come from requests. */
const COMPARED = 64

/** Up to `limit` of `names` that are close to `name`, nearest first. */
export function nearest(name: string, names: Iterable<string>, limit = 3): string[] {
  const wanted = name.slice(0, COMPARED).toLowerCase()
  const most = Math.max(2, Math.ceil(wanted.length / 3))
  return [...names]
    .map((candidate) => ({ candidate, d: distance(wanted, candidate.slice(0, COMPARED).toLowerCase()) }))
    .filter(({ candidate, d }) => d <= most || (wanted.length >= 3 && candidate.toLowerCase().includes(wanted)))
    .sort((a, b) => a.d - b.d)
    .slice(0, limit)
    .map(({ candidate }) => candidate)
}
