/**
 * Text for a terminal. Names of adapters and files, texts of headers and messages of templates come from anybody, and a terminal does what control characters tell it: it clears
 * itself, renames its window, hides what follows. They are shown as JSON would write them: \\u001b.
 */

/** Control characters (C0, DEL, C1), lone surrogates, what turns the direction of writing, and the separators that a terminal may take for a new line. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu

function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
}

/** One line, whatever the text is. */
export function printable(text: string): string {
  return text.replace(UNPRINTABLE, escaped)
}

/** The same of a text whose lines are meant: the list of what a device lacks, a stack. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n')
}

/** A line of JSON with the same meaning that is printable: what JSON leaves as it is (C1, marks of direction) can only stand in its texts. */
export function printableJson(line: string): string {
  return line.endsWith('\n') ? `${printable(line.slice(0, -1))}\n` : printable(line)
}
