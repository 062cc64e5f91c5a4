/** How much a request's JSON holds. */

/** A number, a flag, a key or an empty text takes its time too. */
const OF_ANYTHING = 8

/** UTF-16 units of all texts in `value`, keys too; past `enough` it counts no further. A loop with a list of its own: nested JSON may be deeper than the stack. */
export function sizeOf(value: unknown, enough: number): number {
  const open: unknown[] = [value]
  let size = 0
  while (open.length > 0 && size <= enough) {
    const one = open.pop()
    size += OF_ANYTHING
    if (typeof one === 'string') size += one.length
    else if (Array.isArray(one)) for (const item of one) open.push(item)
    else if (one instanceof Map) open.push([...one.keys()], [...one.values()])
    else if (one !== null && typeof one === 'object')
      for (const [key, item] of Object.entries(one)) {
        size += key.length
        open.push(item)
      }
  }
  return size
}
