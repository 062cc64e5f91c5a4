/** Patterns of names in which `*` stands for any text: matched in one pass, whatever name a request brings. */

/** Longer names are no adapter's (adapters-store/registry.ts), with a base's before them. */
const LONGEST = 1024

/** Whether a name matches one of the patterns. */
export function matcher(patterns: readonly string[]): (name: string) => boolean {
  const all = patterns.map((pattern) => pattern.split(/\*+/))
  return (name) => name.length <= LONGEST && all.some((texts) => matches(texts, name))
}

/** `texts`: what stands between the stars. Each is taken where it comes first, which leaves the most for those after it. */
function matches(texts: readonly string[], name: string): boolean {
  const [first] = texts
  if (texts.length === 1) return name === first
  const last = texts[texts.length - 1]
  if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last)) return false
  let at = first.length
  const end = name.length - last.length
  for (const text of texts.slice(1, -1)) {
    const found = name.indexOf(text, at)
    if (found < 0 || found + text.length > end) return false
    at = found + text.length
  }
  return true
}
