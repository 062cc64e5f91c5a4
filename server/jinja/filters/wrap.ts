/** Python's textwrap.wrap, as Jinja2's wordwrap calls it: white space stays what it is, tabs too. */
import { characters } from '../values.ts'

interface WrapOptions {
  width: number
  /** Words longer than a line are cut. */
  long: boolean
  hyphens: boolean
}

const WORDS =
  /([\t\n\v\f\r ]+|(?<=[\w!"'&.,?])-{2,}(?=\w)|[^\t\n\v\f\r ]+?(?:-(?:(?<=[^\d\W]{2}-)|(?<=[^\d\W]-[^\d\W]-))(?=[^\d\W]-?[^\d\W])|(?=[\t\n\v\f\r ]|$)|(?<=[\w!"'&.,?])(?=-{2,}\w)))/

/** The lines of one line. */
export function wrap(line: string, { width, long, hyphens }: WrapOptions): string[] {
  const chunks = line.split(hyphens ? WORDS : /([\t\n\v\f\r ]+)/).filter((chunk) => chunk !== '')
  const lines: string[] = []
  chunks.reverse()
  while (chunks.length > 0) {
    const current: string[] = []
    let length = 0
    if (lines.length > 0 && chunks.at(-1)?.trim() === '') chunks.pop()
    while (chunks.length > 0) {
      const next = characters(chunks[chunks.length - 1])
      if (length + next > width) break
      current.push(chunks.pop() as string)
      length += next
    }
    const rest = chunks.at(-1)
    if (rest !== undefined && characters(rest) > width) {
      if (long) {
        const room = Math.max(1, width - length)
        const all = Array.from(rest)
        current.push(all.slice(0, room).join(''))
        chunks[chunks.length - 1] = all.slice(room).join('')
      } else if (current.length === 0) current.push(chunks.pop() as string)
    }
    if (current.length > 0 && current.at(-1)?.trim() === '') current.pop()
    if (current.length > 0) lines.push(current.join(''))
  }
  return lines
}
